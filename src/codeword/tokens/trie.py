"""The valid semantic IDs as a prefix tree of their tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from codeword.errors import CodewordError
from codeword.files import write_whole

__all__ = ["PrefixTrie"]

VERSION = 1


class PrefixTrie:
    """The beginnings of all valid IDs, in two arrays for each level.

    `codes[l]` are the last tokens of all different beginnings of l + 1 tokens, in their order; those that continue
    beginning n of level l are `codes[l + 1][first[l][n]:first[l][n + 1]]`, in growing order. 10^8 IDs of four levels
    of 256 take a byte for each and about the same for the level before.

    Args:
        ids: (N, levels), whole numbers; the same one may come several times.
        sizes: how many values the token of each level may have.

    Raises:
        CodewordError: no IDs, or a token beyond its size.

    Examples:
        >>> trie = PrefixTrie(np.array([[0, 1], [0, 3], [2, 0]]), (4, 4))
        >>> trie.allowed([0]).tolist(), trie.allowed([1]).tolist(), len(trie)
        ([1, 3], [], 3)
        >>> trie.mask([[0], [2]]).astype(int)
        array([[0, 1, 0, 1],
               [1, 0, 0, 0]])
        >>> [0, 3] in trie, [0, 2] in trie
        (True, False)
    """

    def __init__(self, ids: Any, sizes: Sequence[int]) -> None:
        ids, self.sizes = np.asarray(ids), tuple(sizes)
        if ids.ndim != 2 or ids.shape[1] != len(self.sizes) or not ids.size or ids.dtype.kind not in "iu":
            expected = f"IDs (N, {len(self.sizes)}) of whole numbers, at least one"
            raise CodewordError.of(
                expected, f"{ids.dtype} of shape {ids.shape}", "pass the tokens of a catalogue"
            )
        if (ids < 0).any() or (ids >= np.array(self.sizes)).any():
            expected = f"tokens from 0 to below {self.sizes}"
            raise CodewordError.of(
                expected, f"{ids.min()} to {ids.max()}", "pass the sizes of this catalogue"
            )
        rows = ids[np.lexsort(ids.T[::-1])]
        changed = np.ones(
            (len(rows), len(self.sizes)), bool
        )  # whether a beginning differs from the row before
        changed[1:] = np.logical_or.accumulate(rows[1:] != rows[:-1], axis=1)
        nodes = [np.flatnonzero(column) for column in changed.T]
        self.codes = [_narrow(rows[at, level]) for level, at in enumerate(nodes)]
        self.first = [
            _narrow(np.append(np.searchsorted(below, at), len(below))) for at, below in pairwise(nodes)
        ]

    def __len__(self) -> int:
        """How many different IDs there are."""
        return len(self.codes[-1])

    def __contains__(self, tokens: Any) -> bool:
        row = np.asarray(tokens)[None]
        return row.shape[1] == len(self.sizes) and self._nodes(row)[0] >= 0

    def allowed(self, prefix: Sequence[int]) -> np.ndarray:
        """The tokens that may follow the first tokens of an ID, in growing order; none, where no ID begins so."""
        row = np.asarray(prefix, np.int64).reshape(1, -1)
        begins, ends = self._children(row)
        found: np.ndarray = self.codes[row.shape[1]][begins[0] : ends[0]].astype(np.int64)
        return found

    def mask(self, prefixes: Any) -> np.ndarray:
        """Which tokens may come next: bool (batch, size of the next level).

        Args:
            prefixes: (batch, n), the first n tokens of IDs, fewer than there are levels.

        Raises:
            CodewordError: another shape.
        """
        rows = np.asarray(prefixes)
        if rows.ndim != 2 or rows.shape[1] >= len(self.sizes):
            expected = f"beginnings (batch, n) with n below {len(self.sizes)}"
            raise CodewordError.of(expected, f"shape {rows.shape}", "pass the tokens so far")
        mask = np.zeros((len(rows), self.sizes[rows.shape[1]]), bool)
        codes = self.codes[rows.shape[1]]
        for row, begin, end in zip(mask, *self._children(rows), strict=True):
            row[codes[begin:end]] = True
        return mask

    def save(self, path: str | Path) -> None:
        """Write it as safetensors.

        Raises:
            CodewordError: as `codeword.files.write_whole`.
        """
        arrays = {f"codes.{n}": array for n, array in enumerate(self.codes)}
        arrays |= {f"first.{n}": array for n, array in enumerate(self.first)}
        facts = {"version": VERSION, "sizes": self.sizes}
        write_whole(path, save(arrays, metadata={"codeword.trie": json.dumps(facts)}))

    @classmethod
    def load(cls, path: str | Path) -> PrefixTrie:
        """What `save` wrote.

        Raises:
            CodewordError: it is none, or one that contradicts itself.
        """
        try:
            raw = Path(path).read_bytes()
            header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
            facts = json.loads(header["__metadata__"]["codeword.trie"])
            if facts["version"] != VERSION:
                raise ValueError(f"version {facts['version']!r:.20}")
            return cls._of(load(raw), facts["sizes"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            remedy = "write it again with `codeword ids export`"
            raise CodewordError.of(
                f"a trie of IDs at {path}", f"{error}" or "another file", remedy
            ) from error

    @classmethod
    def _of(cls, arrays: dict[str, np.ndarray], sizes: Sequence[int]) -> PrefixTrie:
        trie = cls.__new__(cls)
        trie.sizes, levels = tuple(sizes), range(len(sizes))
        trie.codes = [arrays[f"codes.{n}"] for n in levels]
        trie.first = [arrays[f"first.{n}"] for n in levels[:-1]]
        if any(array.ndim != 1 or array.dtype.kind != "u" for array in arrays.values()):
            raise ValueError("arrays of another kind")
        for codes, size in zip(trie.codes, trie.sizes, strict=True):
            if not len(codes) or codes.max() >= size:
                raise ValueError("tokens beyond their size")
        for first, here, below in zip(trie.first, trie.codes, trie.codes[1:], strict=False):
            steps = np.diff(first.astype(np.int64))
            if len(first) != len(here) + 1 or first[0] != 0 or first[-1] != len(below) or (steps < 1).any():
                raise ValueError("levels that contradict each other")
        return trie

    def _children(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where in `codes` of the next level what may follow begins and ends: nowhere after what is no beginning."""
        if not rows.shape[1]:
            return np.zeros(len(rows), np.int64), np.full(len(rows), len(self.codes[0]))
        return self._below(rows.shape[1] - 1, self._nodes(rows))

    def _below(self, level: int, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, valid = self.first[level], nodes >= 0
        begin, end = first[nodes].astype(np.int64), first[nodes + 1].astype(np.int64)
        return np.where(valid, begin, 0), np.where(valid, end, 0)

    def _nodes(self, rows: np.ndarray) -> np.ndarray:
        """The number of each beginning in its level, -1 where no ID begins so."""
        begin, end = np.zeros(len(rows), np.int64), np.full(len(rows), len(self.codes[0]))
        nodes = np.full(len(rows), -1)
        for level, wanted in enumerate(rows.T):
            codes = self.codes[level]
            place = _search(codes, begin, end, wanted)
            found = place < end
            found[found] = codes[place[found]] == wanted[found]
            nodes = np.where(found, place, -1)
            if level < rows.shape[1] - 1:
                begin, end = self._below(level, nodes)
        return nodes


def _search(codes: np.ndarray, begin: np.ndarray, end: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each row the first place from `begin` to `end` whose code is not below the wanted one."""
    low, high = begin.copy(), end.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        below = np.zeros(len(low), bool)
        below[open_] = codes[middle[open_]].astype(np.int64) < wanted[open_]
        low, high = np.where(open_ & below, middle + 1, low), np.where(open_ & ~below, middle, high)
    return low


def _narrow(values: np.ndarray) -> np.ndarray:
    return values.astype(np.min_scalar_type(int(values.max())))
