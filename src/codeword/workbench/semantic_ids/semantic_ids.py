"""Codebooks and semantic IDs from vectors, without training: the work of `codeword fit`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from codeword.checkpoints import digest, save
from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.fitting import Collisions, RatePoint, fit, rate_distortion
from codeword.quantizers import from_spec
from codeword.quantizers.composite import Residual
from codeword.quantizers.composite.beam import codes_of
from codeword.tokenizers import VectorTokenizer
from codeword.tokens import Header, TokenFile, TokenWriter
from codeword.workbench.data.names_once import NamesOnce
from codeword.workbench.data.vector_batches import VectorSummary, summarize
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.catalogue_ids import balance_
from codeword.workbench.semantic_ids.manifest import IDS, Generation, Manifest, room_for, write_manifest
from codeword.workbench.semantic_ids.partitions import count_equals, number_equals, scratch

__all__ = ["IDS", "REPORT", "FitConfig", "Fitted", "Start", "fit_vectors", "write_fit", "write_generation"]

REPORT = "fit.json"
LEAST_ROWS, ROWS_A_CODE = 2**16, 64  # to fit to, if nothing is said
Track = Callable[[Iterable[Block], str], Iterable[Block]]


@dataclass(frozen=True)
class FitConfig:
    """What decides codebooks and IDs, beside the vectors."""

    quantizer: str = "rvq4x256"
    """The quantizer's spec: of vector quantizers, and residual and grouped ones of them: `vq1024`, `rvq4x256`,
    `gvq8x256`, `gvq2x(rvq4x256)`."""
    beam: int = 1
    """Partial sums that the search keeps at each stage of a residual quantizer, in fitting and in `encode`."""
    rows: int | None = None
    """Fit to so many vectors, drawn at random; if nothing is said 64 for each code, and at least 65,536."""
    tries: int = 3
    """k-means for each codebook, of which the best is taken."""
    steps: int = 100
    """Steps of a k-means, at most."""
    seed: int = 0
    """Decides every draw."""
    balance: bool = False
    """Choose the last index of vectors that have the same IDs anew, so that few still do: in ids.parquet alone,
    because it takes all vectors at once."""
    dedupe: bool = False
    """Append one more token to each ID in ids.parquet: 0, 1, 2, ... among vectors with the same tokens, in their
    order, 0 where there is no other. All IDs differ then."""


class Fitted(NamedTuple):
    """What came of fitting."""

    tokenizer: VectorTokenizer
    indices: np.ndarray
    """Of all usable vectors, flat: (N, tokens), in the narrowest unsigned type."""
    points: list[RatePoint]
    """Bits and distortion after each stage, on all usable vectors."""
    collisions: Collisions
    """Of the quantizer's own indices."""
    balanced: Collisions | None
    """The same after balancing."""
    fitted_to: int
    """How many vectors."""


def fit_vectors(vectors: VectorStream, config: FitConfig, track: Track) -> Fitted:
    """Fit codebooks to some vectors and find the indices of all, in blocks.

    Args:
        vectors: where they are.
        config: how.
        track: what to hand blocks of vectors through on their way, with what is done: to show how far it is.

    Raises:
        CodewordError: a spec that cannot be fitted or does not fit the vectors, fewer vectors than codes, two
            vectors of one name.
    """
    rows = _check(config, vectors.features)
    facts = summarize(_Tracked(vectors, track, "reading", once=True), rows, config.seed)
    tokenizer = _fit(facts, config)
    mine = _Tracked(vectors, track, "measuring")
    points = rate_distortion(tokenizer.quantizer, _Standard(mine, tokenizer), beam=config.beam)
    in_units = [point._replace(error=point.error * facts.scale**2) for point in points]
    mine = _Tracked(vectors, track, "finding IDs")
    indices = _encode(mine, tokenizer, int(facts.usable.sum()))
    before, after = count_equals(indices), None
    if config.balance:
        balance_(indices, _Tracked(vectors, track, "balancing").blocks, tokenizer)
        after = count_equals(indices)
    return Fitted(tokenizer, indices, in_units, before, after, len(facts.sample))


def write_fit(
    folder: Path, vectors: VectorStream, config: FitConfig, fitted: Fitted, track: Track
) -> dict[str, Any]:
    """Write the IDs, the report, the manifest of the catalogue and the tokenizer into a run folder; the report.

    Raises:
        CodewordError: the disk is full, the place cannot be written to, two vectors have one name.
    """
    digits = number_equals(fitted.indices) if config.dedupe else None
    room = 1 if digits is None else room_for(int(digits.max()) + 1)
    return write_generation(folder, vectors, config, fitted, track, digits, Start("fit", 1, room))


class Start(NamedTuple):
    """The generation that a folder of IDs begins with."""

    action: str
    number: int
    digits: int
    """How many values the one more token may have, now and later."""


def write_generation(
    folder: Path,
    vectors: VectorStream,
    config: FitConfig,
    fitted: Fitted,
    track: Track,
    digits: np.ndarray | None,
    start: Start,
) -> dict[str, Any]:
    """As `write_fit`, of IDs whose one more token is given (N,), or that have none."""
    tokenizer, name = fitted.tokenizer, digest(fitted.tokenizer)
    sizes, facts = tokenizer.codebook_sizes, {"balanced": int(config.balance)}
    if digits is not None:
        sizes, facts = (*sizes, int(digits.max()) + 1), facts | {"deduped": 1}
    trailing = tokenizer.trailing_shape if digits is None else (len(sizes),)
    header = Header(name, sizes, tokenizer.kind, trailing, facts)
    with TokenWriter(folder / IDS, header, names_differ=True) as writer:  # `fit_vectors` has looked
        for names, ids in _ids(track(vectors.blocks(), "writing IDs"), fitted.indices, digits):
            writer.write_many(names, ids.reshape(len(ids), *trailing))
    report = _report(vectors, config, fitted, list(sizes))
    write_whole(folder / REPORT, (json.dumps(report, indent=2) + "\n").encode())
    first = Generation(start.number, start.action, writer.count, str(TokenFile(folder / IDS).digest))
    write_manifest(folder, Manifest(name, tokenizer.codebook_sizes, start.digits, (first,)))
    save(tokenizer, folder)
    return report


def _ids(
    blocks: Iterable[Block], indices: np.ndarray, digits: np.ndarray | None
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and IDs, block by block."""
    first = 0
    for block in blocks:
        end = first + len(block.names)
        ids = indices[first:end]
        if digits is not None:
            ids = np.concatenate([ids.astype(np.int64), digits[first:end, None]], 1)
        yield block.names, ids
        first = end


class _Tracked:
    """Vectors, with each iteration over blocks of them shown; `once`: none of their names may come twice."""

    def __init__(self, vectors: VectorStream, track: Track, what: str, once: bool = False) -> None:
        self.vectors, self.track, self.what = vectors, track, what
        self.once = once and vectors.named
        self.features = vectors.features

    def __len__(self) -> int:
        return len(self.vectors)

    def blocks(self) -> Iterator[Block]:
        if not self.once:
            yield from self.track(self.vectors.blocks(), self.what)
            return
        with NamesOnce(self.vectors.data) as names:
            for block in self.track(self.vectors.blocks(), self.what):
                names.add(block.names)
                yield block
            names.check()


class _Standard:
    """Batches of vectors as a tokenizer's quantizer sees them, as often as they are asked for."""

    def __init__(self, vectors: _Tracked, tokenizer: VectorTokenizer) -> None:
        self.vectors, self.tokenizer = vectors, tokenizer

    def __iter__(self) -> Iterator[Tensor]:
        for block in self.vectors.blocks():
            if len(block.rows):
                yield self.tokenizer.standard(torch.from_numpy(block.rows))


def _check(config: FitConfig, features: int) -> int:
    """How many rows to fit to."""
    for name in ("beam", "tries", "steps"):
        if getattr(config, name) < 1:
            raise CodewordError.of(f"{name} of at least 1", f"{getattr(config, name)}", f"raise {name}")
    quantizer = from_spec(config.quantizer, features=features)
    if config.balance:
        if not isinstance(quantizer, Residual) or quantizer.count < 2:
            expected = "a residual quantizer of two stages or more for --balance"
            raise CodewordError.of(expected, config.quantizer, "leave out --balance, or pass rvq4x256")
        codes_of(quantizer.components[-1])
    if config.beam > 1 and "beam" not in quantizer.call_options:
        raise CodewordError.of("a quantizer with a beam", config.quantizer, "leave out --beam")
    largest = max(quantizer.codebook_sizes)
    if config.rows is None:
        return max(LEAST_ROWS, ROWS_A_CODE * largest)
    if config.rows < largest:
        raise CodewordError.of(f"rows of at least {largest}, the codes", f"{config.rows}", "raise --rows")
    return config.rows


def _fit(facts: VectorSummary, config: FitConfig) -> VectorTokenizer:
    sample = (torch.from_numpy(facts.sample) - facts.mean) / facts.scale
    how = {"steps": config.steps, "tries": config.tries, "beam": config.beam, "seed": config.seed}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # a quantizer draws its first key
        tokenizer = VectorTokenizer.around(fit(sample, config.quantizer, **how), beam=config.beam)
    tokenizer.standardize_(facts.mean, facts.scale)
    return tokenizer


def _encode(vectors: _Tracked, tokenizer: VectorTokenizer, count: int) -> np.ndarray:
    largest, first = max(tokenizer.codebook_sizes), 0
    indices = scratch((count, len(tokenizer.codebook_sizes)), np.min_scalar_type(largest - 1))
    for block in vectors.blocks():
        found = tokenizer.encode(torch.from_numpy(block.rows))
        indices[first : first + len(found)] = found.reshape(len(found), indices.shape[1]).numpy()
        first += len(found)
    return indices


def _report(vectors: VectorStream, config: FitConfig, fitted: Fitted, sizes: list[int]) -> dict[str, Any]:
    """Everything that was found, as plain values."""
    return {
        "data": vectors.data,
        "vectors": len(fitted.indices),
        "features": vectors.features,
        "left_out": len(vectors.skipped),
        "fitted_to": fitted.fitted_to,
        "settings": dataclasses.asdict(config),
        "stages": [point._asdict() for point in fitted.points],
        "collisions": fitted.collisions._asdict(),
        "balanced": None if fitted.balanced is None else fitted.balanced._asdict(),
        "codebook_sizes": sizes,
    }
