"""The modality of vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.files import replacing, writing
from codeword.packages import load
from codeword.quantizers import from_spec
from codeword.tokenizers import Tokenizer, VectorTokenizer
from codeword.workbench.config import TrainConfig
from codeword.workbench.critic import Critic
from codeword.workbench.data import any_file
from codeword.workbench.data.vector_batches import VectorBatches, VectorRows, VectorSummary, summarize
from codeword.workbench.data.vectors import VECTOR_SUFFIXES, VectorStream, place_of
from codeword.workbench.folders import whole_folder
from codeword.workbench.modalities.base import Metric, Modality, Panel, Source

__all__ = ["Vectors"]

SHARE, MOST = 10, 512  # one vector in ten is held out, 512 at most
WRITTEN = 2**13  # rows of a row group, and of a write


class Vectors(Modality):
    """Embeddings and other vectors: float32 arrays (features,).

    Args:
        features: numbers of a vector.
        scale: the unit of the vectors: the root of the mean variance of a number.
        vectors: the training data.
        facts: the result of a pass over all of them.
    """

    kind = "vectors"
    items = "vectors"
    metrics = (
        Metric("relative_error", "relative error", 4, higher_is_better=False),
        Metric("bits", "bits/vector", 1, higher_is_better=False),
        Metric("cosine", "cosine", 4),
    )
    drawn = "vectors above what their tokens keep of them"
    suffix = ".npy"
    together = 2**12
    unused = {  # noqa: RUF012  as in the base
        "stride": 1,
        "size": 1,
        "sample_rate": None,
        "shuffle_colours": False,
        "adversarial": None,
        "causal": False,
        "channels": "mix",
    }

    def __init__(
        self,
        features: int,
        scale: float,
        vectors: VectorStream | None = None,
        facts: VectorSummary | None = None,
    ) -> None:
        self.features, self.scale = features, scale
        self.vectors, self.facts = vectors, facts

    @classmethod
    def holds(cls, data: str) -> bool:
        return any_file(place_of(data).path, VECTOR_SUFFIXES)

    @classmethod
    def of_data(cls, data: str, config: TrainConfig) -> Vectors:
        vectors = VectorStream(data)
        facts = summarize(vectors)
        return cls(vectors.features, facts.scale, vectors, facts)

    @classmethod
    def of_tokenizer(cls, tokenizer: VectorTokenizer) -> Vectors:
        return cls(tokenizer.size, float(tokenizer.scale))

    def stream(self, data: str, stride: int, names: Sequence[str] | None = None) -> VectorStream:
        return VectorStream(data, self.features, names)

    def source(self, data: str, config: TrainConfig) -> Source:
        """One vector in ten is held out, evenly spaced, 512 at most."""
        vectors, facts = self._opened
        usable = np.flatnonzero(facts.usable)
        count = min(MOST, max(1, len(usable) // SHARE)) if len(usable) > 1 else 0
        places = usable[(2 * np.arange(count) + 1) * len(usable) // max(1, 2 * count)]
        training = facts.usable.copy()
        training[places] = False
        held_out = []
        for block in vectors.blocks() if count else ():
            for place in np.flatnonzero(np.isin(block.numbers, places)):
                held_out.append((block.names[place], block.rows[place].copy()))
        return Source(_Training(vectors, training), held_out, vectors.skipped, facts.fingerprint)

    def batches(self, training: VectorRows, config: TrainConfig) -> VectorBatches:
        return VectorBatches(training, config.batch, config.seed)

    def build(self, config: TrainConfig) -> VectorTokenizer:
        quantizer = from_spec(config.quantizer, features=config.features, dim=1)
        tokenizer = VectorTokenizer(quantizer, size=self.features, width=config.width, blocks=config.blocks)
        tokenizer.standardize_(self._opened[1].mean, self.scale)
        return tokenizer

    def objective(self, tokenizer: Tokenizer, critic: Critic | None = None) -> nn.Module:
        return _Objective(tokenizer, self.scale)

    def quality(self, error: float) -> float:
        return error

    def to_batch(self, item: np.ndarray) -> Tensor:
        return torch.from_numpy(item)[None]

    def true_size(self, item: np.ndarray) -> tuple[int, ...]:
        return ()

    def from_batch(self, batch: Tensor, size: Sequence[int] | None = None) -> np.ndarray:
        row: np.ndarray = batch[0].float().cpu().numpy()
        return row

    def measure(
        self, item: np.ndarray, reconstruction: np.ndarray, bits: float, *, brief: bool = False
    ) -> dict[str, float]:
        """The squared error over the variance of all vectors, so means are relative errors; and the cosine."""
        x, y = item.astype("float64"), reconstruction.astype("float64")
        error = float(((x - y) ** 2).sum()) / (self.features * self.scale**2)
        lengths = math.sqrt(float(x @ x) * float(y @ y))
        cosine = float(x @ y) / lengths if lengths else 0.0
        return {"relative_error": error, "bits": bits, "cosine": cosine}

    def save(self, path: Path, item: np.ndarray) -> None:
        with replacing(path) as stream, writing(path):
            np.save(stream, item)

    def save_all(self, out: Path, names: Sequence[str], items: Iterable[np.ndarray]) -> None:
        """All vectors as one matrix, .npy (in a folder: vectors.npy), or as Parquet with `name` and `vector`.

        Raises:
            CodewordError: a file name of another kind, or the disk is full.
        """
        if not out.suffix:
            with whole_folder(out) as folder:
                self.save_all(folder / "vectors.npy", names, items)
            return
        writers = {".npy": _write_npy, ".parquet": _write_parquet}
        if out.suffix not in writers:
            expected = "a file NAME.npy or NAME.parquet for vectors, or a folder"
            raise CodewordError.of(expected, f"{out}", "pass another --out")
        with replacing(out) as stream, writing(out):
            writers[out.suffix](stream, names, items, self.features)

    def panels(self, name: str, item: np.ndarray, reconstruction: np.ndarray, bits: float) -> list[Panel]:
        """The vector's numbers side by side, and those of its reconstruction."""
        error = self.measure(item, reconstruction, bits)["relative_error"]
        limits = float(min(item.min(), reconstruction.min())), float(max(item.max(), reconstruction.max()))
        return [
            Panel(name, partial(_show, item, limits)),
            Panel(f"reconstruction: error {error:.3f}", partial(_show, reconstruction, limits)),
        ]

    def position(self, config: TrainConfig) -> str:
        return "one position for each vector"

    @property
    def _opened(self) -> tuple[VectorStream, VectorSummary]:
        if self.vectors is None or self.facts is None:
            raise CodewordError.of("vectors to train on", "those of a tokenizer", "use Vectors.of_data")
        return self.vectors, self.facts


class _Training(VectorRows):
    """The training rows; the first ones are also available as items."""

    def __getitem__(self, some: slice) -> list[tuple[str, np.ndarray]]:
        found: list[tuple[str, np.ndarray]] = []
        for block in self.vectors.blocks(WRITTEN):
            rows = zip(block.numbers, block.names, block.rows, strict=True)
            found += [(name, row) for number, name, row in rows if self.taken[number]]
            if len(found) >= some.stop:
                break
        return found[some]


class _Objective(nn.Module):
    def __init__(self, tokenizer: Tokenizer, scale: float) -> None:
        super().__init__()
        self.tokenizer, self.scale = tokenizer, scale

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the relative error in it."""
        out = self.tokenizer(vectors)
        error = F.mse_loss(out.reconstruction.float() / self.scale, vectors / self.scale)
        return error + out.quantized.loss, error


def _show(row: np.ndarray, limits: tuple[float, float], axes: Any) -> None:
    axes.stairs(row, fill=True)
    axes.set_ylim(*limits)
    axes.set_xticks([])
    axes.tick_params(labelsize=7)


def _write_npy(stream: Any, names: Sequence[str], items: Iterable[np.ndarray], features: int) -> None:
    facts = {"descr": "<f4", "fortran_order": False, "shape": (len(names), features)}
    np.lib.format.write_array_header_1_0(stream, facts)
    for item in items:
        stream.write(item.astype("<f4", copy=False).tobytes())


def _write_parquet(stream: Any, names: Sequence[str], items: Iterable[np.ndarray], features: int) -> None:
    arrow = load("pyarrow", "tokens")
    schema = arrow.schema([("name", arrow.string()), ("vector", arrow.list_(arrow.float32(), features))])
    rows, first = iter(items), 0
    with load("pyarrow.parquet", "tokens").ParquetWriter(stream, schema, compression="zstd") as writer:
        while first < len(names):
            part = names[first : first + WRITTEN]
            values = np.concatenate([next(rows) for _ in part])
            lists = arrow.FixedSizeListArray.from_arrays(arrow.array(values, arrow.float32()), features)
            writer.write_table(arrow.Table.from_arrays([arrow.array(part), lists], schema=schema))
            first += len(part)
