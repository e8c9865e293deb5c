"""Codebooks and semantic IDs from vectors, without training: the work of `codeword fit`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from codeword.checkpoints import digest, save
from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.fitting import Collisions, RatePoint
from codeword.fitting.batches import Batches
from codeword.fitting.fit import Plan, fit_
from codeword.fitting.passes import stages_to_pass
from codeword.quantizers import from_spec
from codeword.quantizers.composite import Residual
from codeword.quantizers.composite.beam import codes_of
from codeword.tokenizers import VectorTokenizer
from codeword.tokens import Header, TokenFile, TokenWriter
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.catalogue_ids import balance_
from codeword.workbench.semantic_ids.crew import Crew
from codeword.workbench.semantic_ids.encoding import encode_all
from codeword.workbench.semantic_ids.full_passes import Passes
from codeword.workbench.semantic_ids.manifest import IDS, Generation, Manifest, room_for, write_manifest
from codeword.workbench.semantic_ids.partitions import count_equals, number_equals
from codeword.workbench.semantic_ids.shared_fit import SharedBatches, SharedFitter
from codeword.workbench.semantic_ids.survey import Sample, Survey, survey
from codeword.workbench.semantic_ids.tracked import Track, Tracked

__all__ = [
    "IDS",
    "REPORT",
    "FitConfig",
    "Fitted",
    "KMeansConfig",
    "Start",
    "Track",
    "fit_vectors",
    "write_fit",
    "write_generation",
]

REPORT = "fit.json"
ALONE = Crew()
LEAST_ROWS, ROWS_A_CODE = 2**16, 64  # the default size of the sample


@dataclass(frozen=True)
class KMeansConfig:
    """The settings of k-means in a fit."""

    rows: int | None = None
    """Fit to a sample of this many vectors, drawn by a hash of their names; by default 64 for each code, and at least
    65,536.
    """
    tries: int = 3
    """Run k-means this many times for each codebook, and take the best result."""
    steps: int = 100
    """The most steps of a k-means."""
    seed: int = 0
    """The seed of all random draws."""
    shared: bool = False
    """With several processes: run k-means in all of them, not only in the first. Each holds a part of the sample;
    k-means|| finds the first codes, so the codes differ from those without this option.
    """


@dataclass(frozen=True)
class FitConfig:
    """All settings that determine codebooks and IDs."""

    quantizer: str = "rvq4x256"
    """The quantizer's spec: vector quantizers, and residual and grouped ones of these: `vq1024`, `rvq4x256`,
    `gvq8x256`, `gvq2x(rvq4x256)`."""
    beam: int = 1
    """The number of partial sums that the search keeps at each stage of a residual quantizer, in the fit and in
    `encode`.
    """
    kmeans: KMeansConfig = field(default_factory=KMeansConfig)
    balance: bool = False
    """Change the last index of vectors with equal IDs, so that few remain equal. This affects only ids.parquet, because
    it needs all vectors.
    """
    dedupe: bool = False
    """Append a token to each ID in ids.parquet: 0, 1, 2, ... for vectors with equal tokens, in their order. Then all
    IDs differ.
    """
    passes: int = 0
    """Improve the codes of all stages in this many passes over all vectors, for `vq` and `rvq`. The codes are saved
    after each pass, so the same command continues a stopped run.
    """

    def to_values(self) -> dict[str, Any]:
        """All settings as plain values, side by side."""
        values = dataclasses.asdict(self)
        return {**values.pop("kmeans"), **values}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> FitConfig:
        """The settings from the values of `to_values`.

        Raises:
            TypeError: unknown settings.
        """
        inner = {one.name for one in dataclasses.fields(KMeansConfig)}
        kmeans = KMeansConfig(**{name: values[name] for name in inner & values.keys()})
        return cls(**{name: values[name] for name in values if name not in inner}, kmeans=kmeans)


class Fitted(NamedTuple):
    """The result of a fit."""

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


def fit_vectors(
    vectors: VectorStream, config: FitConfig, track: Track, crew: Crew = ALONE, kept: Path | None = None
) -> Fitted | None:
    """Fit codebooks to a sample of vectors, and find the indices of all vectors in blocks.

    Several processes divide all passes, and their result has the same bits as that of one.

    Args:
        vectors: where they are.
        config: how.
        track: wraps the stream of blocks, with a label, to show progress.
        crew: the processes.
        kept: where the codes are saved after each pass over all vectors, for resuming.

    Returns:
        the result, in the first process.

    Raises:
        CodewordError: the spec cannot be fitted, or does not suit the vectors; there are fewer vectors than codes; two
            vectors have the same name.
    """
    rows, codes = _check(config, vectors.features)
    once = Tracked(vectors, track, "reading", once=crew.count == 1)  # otherwise the writing process checks
    facts = survey(vectors, rows, config.kmeans.seed, crew, once)
    _check_enough(vectors, facts, config, codes)
    tokenizer = _fit(facts, vectors, config, crew)
    if config.passes:
        passes = Passes(config.passes, config.beam, kept, name_of(vectors, config))
        passes.run_(tokenizer, Tracked(vectors, track, "passing"), crew)
    found = encode_all(tokenizer, Tracked(vectors, track, "finding IDs"), crew, facts.counts)
    if found is None:
        return None
    indices, points = found
    in_units = [point._replace(error=point.error * facts.scale**2) for point in points]
    before, after = count_equals(indices), None
    if config.balance:
        balance_(indices, Tracked(vectors, track, "balancing").blocks, tokenizer)
        after = count_equals(indices)
    return Fitted(tokenizer, indices, in_units, before, after, facts.fitted_to)


def name_of(vectors: VectorStream, config: FitConfig) -> str:
    """Values that identify a fit."""
    return json.dumps({"data": vectors.data, "vectors": len(vectors), **config.to_values()})


def write_fit(
    folder: Path, vectors: VectorStream, config: FitConfig, fitted: Fitted, track: Track
) -> dict[str, Any]:
    """Write the IDs, the report, the manifest of the catalogue and the tokenizer into a run folder; returns the report.

    Raises:
        CodewordError: the disk is full, the folder cannot be written, or two vectors have the same name.
    """
    digits = number_equals(fitted.indices) if config.dedupe else None
    room = 1 if digits is None else room_for(int(digits.max()) + 1)
    return write_generation(folder, vectors, config, fitted, track, digits, Start("fit", 1, room))


class Start(NamedTuple):
    """The first generation of a folder of IDs."""

    action: str
    number: int
    digits: int
    """How many values the extra token may have, now and later."""


def write_generation(
    folder: Path,
    vectors: VectorStream,
    config: FitConfig,
    fitted: Fitted,
    track: Track,
    digits: np.ndarray | None,
    start: Start,
) -> dict[str, Any]:
    """Like `write_fit`, with the extra token of the IDs given (N,), or without one."""
    tokenizer, name = fitted.tokenizer, digest(fitted.tokenizer)
    sizes, facts = tokenizer.codebook_sizes, {"balanced": int(config.balance)}
    if digits is not None:
        sizes, facts = (*sizes, int(digits.max()) + 1), facts | {"deduped": 1}
    trailing = tokenizer.trailing_shape if digits is None else (len(sizes),)
    header, blocks = (
        Header(name, sizes, tokenizer.kind, trailing, facts),
        Tracked(vectors, track, "writing IDs", once=True),
    )
    with TokenWriter(folder / IDS, header, names_differ=True) as writer:
        for names, ids in _ids(blocks.blocks(), fitted.indices, digits):
            writer.write_many(names, ids.reshape(len(ids), *trailing))
    report = _report(vectors, config, fitted, list(sizes))
    write_whole(folder / REPORT, (json.dumps(report, indent=2) + "\n").encode())
    first = Generation(start.number, start.action, writer.count, str(TokenFile(folder / IDS).digest))
    write_manifest(folder, Manifest(name, tokenizer.codebook_sizes, start.digits, (first,)))
    # The weights complete a run folder, so they are written after the manifest. Without them the folder is neither a
    # tokenizer nor a catalogue, and the same command may begin again (`Run.check_free`).
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


def _check(config: FitConfig, features: int) -> tuple[int, int]:
    """The size of the sample, and the number of codes of the largest codebook."""
    kmeans = config.kmeans
    for name, value in (("beam", config.beam), ("tries", kmeans.tries), ("steps", kmeans.steps)):
        if value < 1:
            raise CodewordError.of(f"{name} of at least 1", f"{value}", f"raise {name}")
    if config.passes < 0:
        raise CodewordError.of("passes of at least 0", f"{config.passes}", "leave out --passes")
    quantizer = from_spec(config.quantizer, features=features)
    if config.passes:
        stages_to_pass(quantizer)
    if config.balance:
        if not isinstance(quantizer, Residual) or quantizer.count < 2:
            expected = "a residual quantizer of two stages or more for --balance"
            raise CodewordError.of(expected, config.quantizer, "leave out --balance, or pass rvq4x256")
        codes_of(quantizer.components[-1])
    if config.beam > 1 and "beam" not in quantizer.call_options:
        raise CodewordError.of("a quantizer with a beam", config.quantizer, "leave out --beam")
    largest = max(quantizer.codebook_sizes)
    if kmeans.rows is None:
        return max(LEAST_ROWS, ROWS_A_CODE * largest), largest
    if kmeans.rows < largest:
        raise CodewordError.of(f"rows of at least {largest}, the codes", f"{kmeans.rows}", "raise --rows")
    return kmeans.rows, largest


def _check_enough(vectors: VectorStream, facts: Survey, config: FitConfig, codes: int) -> None:
    if facts.fitted_to >= codes:
        return
    first = next((f", without {one.path} ({one.reason}) and others like it" for one in vectors.skipped), "")
    expected = f"at least {codes} vectors, for the {codes} codes of {config.quantizer}"
    remedy = "pass more vectors, or a --quantizer of fewer codes"
    raise CodewordError.of(expected, f"{facts.fitted_to}{first}", remedy)


def _fit(facts: Survey, vectors: VectorStream, config: FitConfig, crew: Crew) -> VectorTokenizer:
    """The tokenizer fitted to the sample, in all processes."""
    kmeans = config.kmeans
    plan = Plan(kmeans.steps, kmeans.tries, config.beam, kmeans.seed, held_out=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(kmeans.seed)  # because a quantizer draws its first key
        quantizer = from_spec(config.quantizer, features=len(facts.mean))
        if kmeans.shared:
            fit_(quantizer, _shared(facts, vectors), plan, SharedFitter(crew))
        else:
            sample = crew.to_first(facts.sample)
            if crew.first:
                fit_(quantizer, Batches(_standard(_merged(sample, facts), facts)), plan)
    quantizer.eval().load_state_dict(crew.from_first(quantizer.state_dict()))
    tokenizer = VectorTokenizer.around(quantizer, beam=config.beam)
    tokenizer.standardize_(facts.mean, facts.scale)
    return tokenizer


def _shared(facts: Survey, vectors: VectorStream) -> SharedBatches:
    """The rows of this process, in one part for each segment of the vectors."""
    begins = [begin for begin, _ in vectors.segments]
    segment = np.searchsorted(begins, facts.sample.numbers, side="right")
    cuts = np.flatnonzero(np.diff(segment)) + 1
    rows = _standard(facts.sample.rows, facts)
    return SharedBatches(rows.tensor_split(cuts.tolist()), facts.sample.hashes)


def _merged(samples: list[Sample], facts: Survey) -> np.ndarray:
    """The rows of all processes in their order."""
    rows = np.concatenate([one.rows for one in samples])
    if len(rows) != facts.fitted_to:
        raise CodewordError.of("the vectors as they were when they were opened", "others", "start again")
    merged: np.ndarray = rows[np.argsort(np.concatenate([one.numbers for one in samples]), kind="stable")]
    return merged


def _standard(rows: np.ndarray, facts: Survey) -> Tensor:
    return (torch.from_numpy(rows) - facts.mean) / facts.scale


def _report(vectors: VectorStream, config: FitConfig, fitted: Fitted, sizes: list[int]) -> dict[str, Any]:
    """The report, as plain values."""
    return {
        "data": vectors.data,
        "vectors": len(fitted.indices),
        "features": vectors.features,
        "left_out": len(vectors.skipped),
        "fitted_to": fitted.fitted_to,
        "settings": config.to_values(),
        "stages": [point._asdict() for point in fitted.points],
        "collisions": fitted.collisions._asdict(),
        "balanced": None if fitted.balanced is None else fitted.balanced._asdict(),
        "codebook_sizes": sizes,
    }
