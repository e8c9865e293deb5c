"""One look through all vectors, shared out among processes: how many, their mean and scale, and a sample of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.workbench.data.files import none_usable
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.crew import Crew
from codeword.workbench.semantic_ids.neighbours import hashes_of
from codeword.workbench.semantic_ids.tracked import Tracked

__all__ = ["Survey", "survey"]

MORE = 1.2  # times the sample: the candidates that are kept before those of high hashes go


class Survey(NamedTuple):
    """What the look told. It is the same however many processes looked."""

    counts: list[int]
    """Usable rows of each segment."""
    mean: Tensor
    """Of each feature: float32 (features,)."""
    scale: float
    """The root of the mean variance of a feature; 1 where all vectors are equal."""
    sample: np.ndarray
    """Usable rows in their order, those whose names have the lowest hashes; in the first process alone."""
    fitted_to: int
    """How many these are."""


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
    """Look through all vectors once.

    Args:
        vectors: where they are.
        sample: how many rows to take at most. They are drawn by a hash of their names, so the same ones in whatever
            order the files are.
        seed: of the draw.
        crew: who shares the work.
        tracked: the pass.

    Raises:
        CodewordError: no vector can be used; several of one name, where one process alone looks.
    """
    segments, origin = vectors.segments, _origin(vectors)
    lowest = _Lowest(sample, seed, len(vectors) <= sample)
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
    rows, fitted_to = lowest.of_all(crew)
    return Survey([one.rows for one in found], mean, scale, rows, fitted_to)


def _origin(vectors: VectorStream) -> np.ndarray:
    """The mean of the first block: vectors far from zero would cancel."""
    for block in vectors.blocks():
        if len(block.rows):
            mean: np.ndarray = block.rows.astype(np.float64).mean(0)
            return mean
    raise none_usable(vectors.skipped, vectors.data, "vectors")


class _Lowest:
    """The rows whose names have the lowest hashes, or all."""

    def __init__(self, count: int, seed: int, all_: bool) -> None:
        self.count, self.seed, self.all = count, seed, all_
        self.hashes, self.numbers = np.empty(0, np.uint64), np.empty(0, np.int64)
        self.rows: list[np.ndarray] = []
        self._size, self._least = 0, np.uint64(2**64 - 1)

    def add(self, block: Block) -> None:
        """Look at some more."""
        hashes = np.zeros(len(block.names), np.uint64) if self.all else hashes_of(block.names, self.seed)
        good = hashes <= self._least
        self.hashes = np.concatenate([self.hashes, hashes[good]])
        self.numbers = np.concatenate([self.numbers, block.numbers[good]])
        self.rows.append(block.rows[good])
        if len(self.hashes) > MORE * self.count:
            self._keep(np.sort(np.lexsort((self.numbers, self.hashes))[: self.count]))
            self._least = self.hashes.max()

    def _keep(self, places: np.ndarray) -> None:
        self.hashes, self.numbers = self.hashes[places], self.numbers[places]
        self.rows = [np.concatenate(self.rows)[places]] if self.rows else []

    def of_all(self, crew: Crew) -> tuple[np.ndarray, int]:
        """The rows of the lowest of all processes, in their order, in the first; and how many they are."""
        pairs = crew.gather([(self.hashes, self.numbers)], crew.count)
        hashes, numbers = (np.concatenate(one) for one in zip(*pairs, strict=True))
        chosen = np.sort(numbers[np.lexsort((numbers, hashes))[: self.count]])
        self._keep(np.flatnonzero(np.isin(self.numbers, chosen)))
        parts = crew.to_first((self.numbers, self.rows))
        if not parts:
            return np.empty(0, np.float32), len(chosen)
        order = np.argsort(np.concatenate([one for one, _ in parts]), kind="stable")
        rows = np.concatenate([one for _, some in parts for one in some])[order]
        if len(rows) != len(chosen):
            raise CodewordError.of("the vectors as they were when they were opened", "others", "start again")
        return rows, len(chosen)
