"""Tokens of several levels as words of one vocabulary, with a range of numbers for each level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codeword.errors import CodewordError

__all__ = ["Levels"]


@dataclass(frozen=True)
class Levels:
    """Token t of level l is word first + sizes of the levels before + t.

    Args:
        sizes: how many values the token of each level may have.
        first: the word of token 0 of the first level.

    Examples:
        >>> levels = Levels((10, 4), first=3)
        >>> levels.offsets, levels.end, levels.words(np.array([[7, 0]]))
        ((3, 13), 17, array([[10, 13]]))
    """

    sizes: tuple[int, ...]
    first: int = 0

    @property
    def offsets(self) -> tuple[int, ...]:
        """The word of token 0 of each level."""
        return tuple(self.first + sum(self.sizes[:level]) for level in range(len(self.sizes)))

    @property
    def end(self) -> int:
        """The first word behind all levels."""
        return self.first + sum(self.sizes)

    def outside(self, tokens: np.ndarray) -> np.ndarray:
        """Which of tokens (..., levels) their levels do not have."""
        wrong: np.ndarray = (tokens < 0) | (tokens >= np.array(self.sizes, np.int64))
        return wrong

    def words(self, tokens: np.ndarray) -> np.ndarray:
        """The words of tokens (..., levels), int64.

        Raises:
            CodewordError: a token that its level does not have.
        """
        if self.outside(tokens).any():
            got = f"tokens from {tokens.min()} to {tokens.max()}"
            raise CodewordError.of(f"tokens below {self.sizes}", got, "pass the sizes that they have")
        return tokens.astype(np.int64) + np.array(self.offsets, np.int64)

    def tokens(self, words: np.ndarray) -> np.ndarray:
        """The tokens of words (..., levels), int64; those of words of another level are `outside`."""
        return words.astype(np.int64) - np.array(self.offsets, np.int64)
