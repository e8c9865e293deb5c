"""Process the IDs of a catalogue in parts, in bounded memory: equal IDs, and equal prefixes, are in one part."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from codeword.fitting import Collisions

__all__ = ["Group", "count_equals", "groups_of", "number_equals", "parts_of", "scratch"]

ROWS = 2**21  # of a part, about
BLOCK = 2**18
IN_MEMORY = 2**26  # bytes; larger arrays are in a temporary file
MULTIPLIER = 0x9E3779B97F4A7C15


def scratch(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros: in memory, or, if it is large, in a temporary file that is deleted with it."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:
        mapped: np.ndarray = np.memmap(file, dtype, "w+", shape=shape)
    return mapped


def parts_of(ids: np.ndarray, rows: int = ROWS) -> Iterator[np.ndarray]:
    """The numbers of all rows, in parts of about `rows`, each in increasing order.

    Rows that differ only in the last token are in one part, which may be larger than the others.

    Args:
        ids: (N, levels).
        rows: of a part.
    """
    count = min(256, -(-len(ids) // rows))
    if count <= 1:
        yield np.arange(len(ids))
        return
    part = scratch((len(ids),), np.uint8)
    for begin in range(0, len(ids), BLOCK):
        part[begin : begin + BLOCK] = _hash(ids[begin : begin + BLOCK]) % np.uint64(count)
    for number in range(count):
        yield np.flatnonzero(part == number)


class Group(NamedTuple):
    """Rows sorted by their IDs; equal ones in increasing order."""

    order: np.ndarray
    starts: np.ndarray
    """The start of each group of equal rows, and the end."""

    @property
    def sizes(self) -> np.ndarray:
        """Of the groups."""
        return np.diff(self.starts)


def groups_of(ids: np.ndarray) -> Group:
    """The groups of equal rows (N, levels), in lexicographic order.

    Examples:
        >>> groups_of(np.array([[1, 2], [0, 9], [1, 2]]))
        Group(order=array([1, 0, 2]), starts=array([0, 1, 3]))
    """
    order = np.lexsort(ids.T[::-1]) if ids.shape[1] else np.arange(len(ids))
    rows = ids[order]
    new = np.flatnonzero((rows[1:] != rows[:-1]).any(1)) + 1
    return Group(order, np.concatenate([[0], new, [len(ids)]] if len(ids) else [[0]]).astype(np.int64))


def number_equals(ids: np.ndarray, rows: int = ROWS) -> np.ndarray:
    """The rank of each row among its equals, from 0.

    Examples:
        >>> number_equals(np.array([[1, 2], [3, 4], [1, 2], [1, 2]]))
        array([0, 0, 1, 2], dtype=int32)
    """
    numbers = scratch((len(ids),), np.int32)
    for where in parts_of(ids, rows):
        group = groups_of(ids[where])
        places = np.arange(len(where)) - np.repeat(group.starts[:-1], group.sizes)
        numbers[where[group.order]] = places
    return numbers


def count_equals(ids: np.ndarray, rows: int = ROWS) -> Collisions:
    """As `codeword.fitting.collisions`, of rows (N, levels) without masked ones.

    Examples:
        >>> count_equals(np.array([[0, 1], [0, 1], [2, 3]]))
        Collisions(vectors=3, distinct=2, share=0.666..., largest=2)
    """
    distinct = alone = largest = 0
    for where in parts_of(ids, rows):
        sizes = groups_of(ids[where]).sizes
        distinct += len(sizes)
        alone += int((sizes == 1).sum())
        largest = max(largest, int(sizes.max(initial=0)))
    return Collisions(len(ids), distinct, 1 - alone / len(ids) if len(ids) else 0.0, largest)


def _hash(ids: np.ndarray) -> np.ndarray:
    """A number for each row, from all its tokens except the last one if there are several."""
    found = np.zeros(len(ids), np.uint64)
    for level in range(max(1, ids.shape[1] - 1)):
        found = (found ^ ids[:, level].astype(np.uint64)) * np.uint64(MULTIPLIER)
        found ^= found >> np.uint64(29)
    return found
