"""Small catalogues, written as `codeword fit` writes them, around a quantizer that was not fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

import codeword
from codeword.fitting import collisions
from codeword.tokenizers import VectorTokenizer
from codeword.workbench.data.vectors import VectorStream
from codeword.workbench.semantic_ids.catalogue import Catalogue
from codeword.workbench.semantic_ids.semantic_ids import FitConfig, Fitted, write_fit

Make = Callable[..., Catalogue]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def save_items(path: Path, names: Sequence[str], rows: np.ndarray) -> VectorStream:
    """A table of items, opened."""
    parquet.write_table(pa.table({"id": list(names), "vector": list(rows.astype(np.float32))}), path)
    return VectorStream(path)


def ids_of(catalogue: Catalogue) -> dict[str, tuple[int, ...]]:
    """What each item is called now."""
    return {
        name: tuple(row)
        for names, tokens in catalogue.batches()
        for name, row in zip(names, tokens.tolist(), strict=True)
    }


def make(folder: Path, spec: str, rows: np.ndarray, *, dedupe: bool = True, seed: int = 0) -> Catalogue:
    """A catalogue of `rows`, called "old 0", "old 1", ..."""
    folder.mkdir()
    torch.manual_seed(seed)
    quantizer = codeword.from_spec(spec, features=rows.shape[1]).eval()
    for part in getattr(quantizer, "components", [quantizer]):
        part.codebook.init_from_(torch.randn_like(part.codebook.codes))
    tokenizer = VectorTokenizer.around(quantizer)
    vectors = save_items(folder / "items.parquet", [f"old {n}" for n in range(len(rows))], rows)
    indices = tokenizer.encode(torch.from_numpy(rows.astype(np.float32))).reshape(len(rows), -1).numpy()
    found = collisions(torch.from_numpy(indices))
    fitted = Fitted(tokenizer, indices.astype(np.uint8), [], found, None, len(rows))
    write_fit(folder, vectors, FitConfig(spec, dedupe=dedupe), fitted, lambda blocks, what: blocks)
    return Catalogue(folder)
