"""Semantic IDs as words of a language model: numbers of their own for each level, and strings."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.tokens.levels import Levels

__all__ = ["IdVocabulary"]

WORD = re.compile(r"<([a-z]+)_([0-9]{1,18})>")


@dataclass(frozen=True)
class IdVocabulary:
    """The words of a model that reads and writes semantic IDs.

    Special words come first, then those of each level: token t of level l is word first + special + sizes of the levels
    before + t. The last level is that of `--dedupe`: if its capacity grows, no word changes its number.

    Args:
        sizes: how many values the token of each level may have.
        special: words that are no tokens.
        first: the number of the first word: the size of the vocabulary that these words are added to.

    Raises:
        CodewordError: no levels, a negative `first`, or special words that come twice or look like tokens.

    Examples:
        >>> vocabulary = IdVocabulary((256, 256, 4))
        >>> len(vocabulary), vocabulary.offsets
        (519, (3, 259, 515))
        >>> vocabulary.words_of([[12, 7, 1]])
        array([[ 15, 266, 516]])
        >>> vocabulary.string([12, 7, 1]), vocabulary.parse("<a_12><b_7><c_1>")
        ('<a_12><b_7><c_1>', (12, 7, 1))
    """

    sizes: tuple[int, ...]
    special: tuple[str, ...] = ("<pad>", "<bos>", "<eos>")
    first: int = 0

    def __post_init__(self) -> None:
        if self.first < 0:
            raise CodewordError.of(
                "a first word of at least 0", f"{self.first}", "pass a size of a vocabulary"
            )
        if not self.sizes or min(self.sizes) < 1:
            raise CodewordError.of(
                "levels of at least one value", f"{self.sizes}", "pass the sizes of codebooks"
            )
        odd = [word for word in self.special if WORD.fullmatch(word) or self.special.count(word) > 1]
        if odd:
            raise CodewordError.of("special words that all differ", odd[0], "choose another word")

    def __len__(self) -> int:
        return len(self.special) + sum(self.sizes)

    @property
    def levels(self) -> Levels:
        """The words that are tokens."""
        return Levels(self.sizes, self.first + len(self.special))

    @property
    def offsets(self) -> tuple[int, ...]:
        """The number of token 0 of each level."""
        return self.levels.offsets

    @property
    def words(self) -> list[str]:
        """All words as strings, in the order of their numbers: what to add to a tokenizer of text."""
        levels = ((_letters(level), size) for level, size in enumerate(self.sizes))
        return [*self.special, *(f"<{letters}_{token}>" for letters, size in levels for token in range(size))]

    def number(self, special: str) -> int:
        """The number of a special word.

        Raises:
            CodewordError: there is none of that name.
        """
        if special not in self.special:
            expected = f"a special word among {' '.join(self.special)}"
            raise CodewordError.of(expected, special, "name it when the vocabulary is made")
        return self.first + self.special.index(special)

    def words_of(self, tokens: Any) -> np.ndarray:
        """The words of tokens (..., levels), as numbers of the same shape.

        Raises:
            CodewordError: another number of levels, or a token beyond its level.
        """
        tokens = np.asarray(tokens)
        if not tokens.ndim or tokens.shape[-1] != len(self.sizes):
            expected = f"tokens (..., {len(self.sizes)})"
            raise CodewordError.of(expected, f"shape {tokens.shape}", "pass the IDs of this catalogue")
        return self.levels.words(tokens)

    def tokens_of(self, words: Any) -> np.ndarray:
        """The tokens (..., levels) of words.

        Raises:
            CodewordError: words that are not those of each level in turn.
        """
        words = np.asarray(words)
        if words.ndim and words.shape[-1] == len(self.sizes):
            tokens = self.levels.tokens(words)
            if not self.levels.outside(tokens).any():
                return tokens
        expected = f"words (..., {len(self.sizes)}), one of each level"
        raise CodewordError.of(expected, f"{words.tolist()!r:.80}", "decode with the mask of a trie")

    def string(self, tokens: Sequence[int]) -> str:
        """The ID as text, as `words` has its words."""
        return self.strings([tokens])[0]

    def strings(self, tokens: Any) -> list[str]:
        """Many of them: tokens (N, levels)."""
        words, begin = self.words, self.first
        return ["".join([words[number - begin] for number in row]) for row in self.words_of(tokens).tolist()]

    def parse(self, text: str) -> tuple[int, ...]:
        """The tokens of an ID as text.

        Raises:
            CodewordError: it is none.
        """
        found = WORD.findall(text)
        tokens = tuple(int(token) for _, token in found)
        fits = len(found) == len(self.sizes) and not self.levels.outside(np.array(tokens)).any()
        if fits and self.string(tokens) == text:
            return tokens
        expected = f"an ID such as {self.string([0] * len(self.sizes))}"
        raise CodewordError.of(expected, f"{text!r:.80}", "pass one ID, with a token of each level")

    def save(self, path: str | Path) -> None:
        """Write it as JSON, with offsets and words.

        Raises:
            CodewordError: as `codeword.files.write_whole`.
        """
        values = {"sizes": self.sizes, "special": self.special, "first": self.first}
        more = {"offsets": self.offsets, "words": self.words}
        write_whole(path, (json.dumps(values | more) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> IdVocabulary:
        """What `save` wrote.

        Raises:
            CodewordError: it is none.
        """
        try:
            values = json.loads(Path(path).read_bytes())
            numbers, special = [*values["sizes"], values["first"]], values["special"]
            if not all(type(n) is int for n in numbers) or not all(isinstance(word, str) for word in special):
                raise TypeError("values of the wrong type")
            return cls(tuple(values["sizes"]), tuple(special), values["first"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, CodewordError):
                raise
            remedy = "write it again with `codeword ids export`"
            raise CodewordError.of(f"a vocabulary at {path}", f"{error}", remedy) from error


def _letters(level: int) -> str:
    """a, b, ..., z, aa, ab, ...: the name of a level."""
    letters, level = "", level + 1
    while level:
        level, rest = divmod(level - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters
