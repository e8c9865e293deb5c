"""One pass over all vectors, divided among processes: their number, mean and scale, and a sample."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codeword.workbench.data.files import none_usable
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.crew import Crew
from codeword.workbench.semantic_ids.neighbours import hashes_of
from codeword.workbench.semantic_ids.tracked import Tracked

__all__ = ["Sample", "Survey", "survey"]

MORE = 1.2  # times the sample: the most candidates before those with high hashes are dropped


class Sample(NamedTuple):
    """Some rows."""

    numbers: np.ndarray
    """Among all rows, int64 (n,)."""
    hashes: np.ndarray
    """Of their names, uint64 (n,)."""
    rows: np.ndarray
    """float32 (n, features)."""


class Survey(NamedTuple):
    """The result of the pass. It does not depend on the number of processes."""

    counts: list[int]
    """Usable rows of each segment."""
    mean: Tensor
    """Of each feature: float32 (features,)."""
    scale: float
    """The root of the mean variance of a feature; 1 if all vectors are equal."""
    sample: Sample
    """The sample: usable rows whose names have the lowest hashes. These are the ones that this process has read, in
    order.
    """
    fitted_to: int
    """The size of the whole sample."""


class _Segment(NamedTuple):
    rows: int
    sums: np.ndarray
    squares: float

    @classmethod
    def empty(cls, features: int) -> _Segment:
        return cls(0, np.zeros(features), 0.0)

    def plus(self, rows: np.ndarray, origin: np.ndarray) -> _Segment:
        shifted = rows.astype(np.float64) - origin
        squares = self.squares + float((shifted * shifted).sum())
        return _Segment(self.rows + len(rows), self.sums + shifted.sum(0), squares)


def survey(vectors: VectorStream, sample: int, seed: int, crew: Crew, tracked: Tracked) -> Survey:
    """Make one pass over all vectors.

    Args:
        vectors: where they are.
        sample: the most rows to take. A hash of the names draws them, so the order of the files does not matter.
        seed: of the draw.
        crew: the processes.
        tracked: the pass.

    Raises:
        CodewordError: no vector can be used; with one process, two vectors have the same name.
    """
    segments, origin = vectors.segments, _origin(vectors)
    lowest = _Lowest(sample, seed, vectors.features)
    mine = [_Segment.empty(vectors.features) for _ in crew.mine(segments)]
    for number, block in tracked.pieces(crew):
        mine[number] = mine[number].plus(block.rows, origin)
        lowest.add(block)
    found = crew.gather(mine, len(segments))
    count = sum(one.rows for one in found)
    shift = np.sum([one.sums for one in found], axis=0) / count
    variance = sum(one.squares for one in found) / count - float((shift * shift).sum())
    scale = math.sqrt(max(variance, 0.0) / vectors.features) or 1.0
    mean = torch.from_numpy((origin + shift).astype(np.float32))
    fitted_to = lowest.agree(crew)
    mine_of_it = Sample(lowest.numbers, lowest.hashes, lowest.rows)
    return Survey([one.rows for one in found], mean, scale, mine_of_it, fitted_to)


def _origin(vectors: VectorStream) -> np.ndarray:
    """The mean of the first block: vectors far from zero would cancel."""
    for block in vectors.blocks():
        if len(block.rows):
            mean: np.ndarray = block.rows.astype(np.float64).mean(0)
            return mean
    raise none_usable(vectors.skipped, vectors.data, "vectors")


class _Lowest:
    """The rows whose names have the lowest hashes, or all."""

    def __init__(self, count: int, seed: int, features: int) -> None:
        self.count, self.seed = count, seed
        self.hashes, self.numbers = np.empty(0, np.uint64), np.empty(0, np.int64)
        self.rows = np.empty((0, features), np.float32)
        self._parts: list[np.ndarray] = []
        self._least = np.uint64(2**64 - 1)

    def add(self, block: Block) -> None:
        """Look at some more."""
        hashes = hashes_of(block.names, self.seed)
        good = hashes <= self._least
        self.hashes = np.concatenate([self.hashes, hashes[good]])
        self.numbers = np.concatenate([self.numbers, block.numbers[good]])
        self._parts.append(block.rows[good])
        if len(self.hashes) > MORE * self.count:
            self._keep(np.sort(np.lexsort((self.numbers, self.hashes))[: self.count]))
            self._least = self.hashes.max()

    def _keep(self, places: np.ndarray) -> None:
        self.hashes, self.numbers = self.hashes[places], self.numbers[places]
        self.rows = np.concatenate([self.rows, *self._parts])[places]
        self._parts = []

    def agree(self, crew: Crew) -> int:
        """Keep the rows whose hashes are among the lowest of all processes; returns the total number."""
        pairs = crew.gather([(self.hashes, self.numbers)], crew.count)
        hashes, numbers = (np.concatenate(one) for one in zip(*pairs, strict=True))
        chosen = numbers[np.lexsort((numbers, hashes))[: self.count]]
        self._keep(np.flatnonzero(np.isin(self.numbers, chosen)))
        return len(chosen)
