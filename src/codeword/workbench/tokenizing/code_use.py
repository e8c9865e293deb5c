"""Count the use of codes in tokens of one or several codebooks of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

__all__ = ["CodeUse", "Used", "say_codes"]


class Used(NamedTuple):
    """How the codes of one codebook are used."""

    codes: int
    """How many occur."""
    entropy: float
    """The entropy of a token in bits: -sum p log2 p over the shares p of the codes."""

    @property
    def perplexity(self) -> float:
        """2 to the power of the entropy: the number of equally likely codes with this entropy; 0 without tokens."""
        return 2**self.entropy if self.codes else 0.0


class CodeUse:
    """Counts tokens. Memory grows with the codes that occur, not with the size of the codebooks.

    Args:
        codebooks: the number of tokens at a position.

    Examples:
        >>> use = CodeUse(codebooks=2)
        >>> use.add(np.array([[0, 7], [1, 7], [2, 7], [3, 7]]))
        >>> use.perplexity, use.used
        (2.5, 5)
        >>> use.of_codebooks
        [Used(codes=4, entropy=2.0), Used(codes=1, entropy=0.0)]
    """

    def __init__(self, codebooks: int) -> None:
        nothing = np.zeros(0, np.int64)
        self._counts = [(nothing, nothing)] * codebooks

    def add(self, indices: np.ndarray) -> None:
        """Count the tokens of an item, or of many: int64 (..., *trailing_shape)."""
        columns = indices.reshape(-1, len(self._counts)).T
        self._counts = [
            _merged(*old, *np.unique(column, return_counts=True))
            for old, column in zip(self._counts, columns, strict=True)
        ]

    def join(self, other: CodeUse) -> None:
        """Add the counts of another counter."""
        pairs = zip(self._counts, other._counts, strict=True)
        self._counts = [_merged(*old, *new) for old, new in pairs]

    @property
    def of_codebooks(self) -> list[Used]:
        """The use of each codebook, in order."""
        return [Used(len(codes), _entropy(counts)) for codes, counts in self._counts]

    @property
    def perplexity(self) -> float:
        """The perplexity of the codes; with several codebooks the mean."""
        return float(np.mean([used.perplexity for used in self.of_codebooks]))

    def joined(self, columns: Sequence[int]) -> CodeUse:
        """The same counts if groups of `neighbours` adjacent codebooks are one codebook.

        Examples:
            >>> use = CodeUse(codebooks=3)
            >>> use.add(np.array([[0, 7, 7], [1, 7, 8]]))
            >>> use.joined([1, 2]).of_codebooks[1].codes
            2
        """
        found, rest = CodeUse(len(columns)), iter(self._counts)
        for place, count in enumerate(columns):
            for codes, counts in islice(rest, count):
                found._counts[place] = _merged(*found._counts[place], codes, counts)
        return found

    @property
    def counts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each codebook, the codes that occur, in order, and how often each does."""
        return list(self._counts)

    @property
    def used(self) -> int:
        """How many codes occur, in all codebooks together."""
        return sum(len(codes) for codes, _ in self._counts)


def say_codes(codebook_sizes: Sequence[int]) -> str:
    """The number of codes, in words.

    Examples:
        >>> say_codes((1024,)), say_codes((256,) * 4), say_codes((9, 4)), say_codes((2**40,))
        ('1024 codes', '4 x 256 codes', '9, 4 codes', '2^40 codes')
    """
    sizes = [_say(size) for size in codebook_sizes]
    if len(sizes) > 1 and len(set(sizes)) == 1:
        return f"{len(sizes)} x {sizes[0]} codes"
    return f"{', '.join(sizes)} codes"


def _merged(
    codes: np.ndarray, counts: np.ndarray, more: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Merge codes and their counts with further ones."""
    all_codes, places = np.unique(np.concatenate([codes, more]), return_inverse=True)
    totals = np.zeros(len(all_codes), np.int64)
    np.add.at(totals, places, np.concatenate([counts, times]))
    return all_codes, totals


def _entropy(counts: np.ndarray) -> float:
    shares = counts / max(1, counts.sum())
    return max(0.0, -float((shares * np.log2(shares)).sum()))


def _say(size: int) -> str:
    power = math.log2(size)
    return f"2^{power:.0f}" if size > 2**20 and power.is_integer() else str(size)
