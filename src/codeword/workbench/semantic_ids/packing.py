"""IDs as single numbers: their tokens as digits, the first the highest, so that a prefix is a range of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from codeword.errors import CodewordError

__all__ = ["MOST", "pack", "unpack"]

MOST = 2**63
"""The largest number of different IDs."""


def pack(tokens: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Tokens (N, levels) as int64 (N,).

    Raises:
        CodewordError: the IDs do not fit into int64.

    Examples:
        >>> pack(np.array([[1, 2], [0, 3]]), (4, 10))
        array([12,  3])
        >>> unpack(pack(np.array([[1, 2], [0, 3]]), (4, 10)), (4, 10))
        array([[1, 2],
               [0, 3]])
    """
    if math.prod(sizes) > MOST:
        expected = "codebooks whose sizes multiply to at most 2^63"
        raise CodewordError.of(expected, " x ".join(map(str, sizes)), "take fewer or smaller stages")
    keys = np.zeros(len(tokens), np.int64)
    for level, size in enumerate(sizes):
        keys *= size
        keys += tokens[:, level]
    return keys


def unpack(keys: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """The tokens again."""
    tokens = np.empty((len(keys), len(sizes)), np.int64)
    for level in reversed(range(len(sizes))):
        keys, tokens[:, level] = np.divmod(keys, sizes[level])
    return tokens
