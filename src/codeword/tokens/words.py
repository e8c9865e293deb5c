"""The tokens of an item as one row of words of one vocabulary, for language models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from codeword.errors import CodewordError
from codeword.tokens.delay import delay_pattern, undo_delay_pattern
from codeword.tokens.levels import Levels
from codeword.tokens.table import as_array

__all__ = ["Order", "Vocabulary"]

Order = Literal["interleave", "delay", "levels"]
LARGEST = 2**32


@dataclass(frozen=True)
class Vocabulary:
    """Converts the tokens of an item to one row of words, and back.

    Level q is the codebook of the q-th token at a position; its token t is the word `offsets[q] + t`, so a word
    determines its level. The special words come after all levels: the beginning, the end, and the pad of the delay
    pattern, if they are used.

    Args:
        codebook_sizes: how many codes each level has.
        order: in which the words of an item come. `"interleave"`: position after position, each with all levels.
            `"delay"`: the same, with level q delayed by q positions (`delay_pattern`). `"levels"`: all positions of the
            first level, then those of the second, ...
        bos: whether an item begins with a special word.
        eos: whether an item ends with a special word.

    Raises:
        CodewordError: more than 2^32 words, or an unknown order.

    Examples:
        >>> words = Vocabulary((10, 4), "interleave", bos=True, eos=True)
        >>> words.offsets, words.bos_word, words.eos_word, words.size
        ((0, 10), 14, 15, 16)
        >>> words.flatten([[[7, 0], [8, 3]]])  # (items, positions, levels)
        array([[14,  7, 10,  8, 13, 15]])
        >>> words.restore([[14, 7, 10, 8, 13, 15]])
        array([[[7, 0],
                [8, 3]]])
    """

    codebook_sizes: tuple[int, ...]
    order: Order = "interleave"
    bos: bool = False
    eos: bool = False

    def __post_init__(self) -> None:
        if self.order not in ("interleave", "delay", "levels"):
            expected = 'order="interleave", "delay" or "levels"'
            raise CodewordError.of(expected, f"{self.order!r}", "pass one of these")
        if self.size > LARGEST:
            expected, remedy = "a vocabulary of at most 2^32 words", "use smaller codebooks, or several"
            raise CodewordError.of(expected, f"{self.size}", remedy)

    @property
    def levels(self) -> Levels:
        """The words that are tokens."""
        return Levels(self.codebook_sizes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """The word of token 0 of each level."""
        return self.levels.offsets

    @property
    def bos_word(self) -> int | None:
        """The word that an item begins with; None: none."""
        return self.levels.end if self.bos else None

    @property
    def eos_word(self) -> int | None:
        """The word that an item ends with; None: none."""
        return self.levels.end + self.bos if self.eos else None

    @property
    def pad_word(self) -> int | None:
        """What fills the corners of the delay pattern; None: there are none."""
        return self.levels.end + self.bos + self.eos if self.order == "delay" else None

    @property
    def size(self) -> int:
        """The number of words: the size of the embedding of a language model."""
        return self.levels.end + self.bos + self.eos + (self.order == "delay")

    @property
    def word_type(self) -> str:
        """The unsigned type that holds every word, as readers of flat files know it: uint16 or uint32."""
        return "uint16" if self.size <= 2**16 else "uint32"

    def words_of(self, positions: int) -> int:
        """How many words an item of so many positions has."""
        levels = len(self.codebook_sizes)
        corners = levels - 1 if self.order == "delay" else 0
        return (positions + corners) * levels + self.bos + self.eos

    def flatten(self, tokens: Any) -> Any:
        """Words (items, words), int64, of tokens (items, positions, levels).

        Raises:
            CodewordError: another shape, or a token that its level does not have.
        """
        array = as_array("items", tokens).astype(np.int64)
        count = len(self.codebook_sizes)
        if array.ndim != 3 or array.shape[2] != count:
            expected = f"tokens (items, positions, {count})"
            raise CodewordError.of(expected, f"shape {array.shape}", "pass all levels last")
        levels = self.levels.words(array).transpose(0, 2, 1)
        if self.pad_word is not None:
            levels = delay_pattern(levels, self.pad_word)
        rows = (levels if self.order == "levels" else levels.transpose(0, 2, 1)).reshape(len(array), -1)
        ends = [np.full((len(array), 1), word) for word in (self.bos_word, self.eos_word) if word is not None]
        begin, end = (ends[:1] if self.bos else []), (ends[-1:] if self.eos else [])
        return np.concatenate([*begin, rows, *end], 1)

    def restore(self, words: Any) -> Any:
        """Tokens (items, positions, levels), int64, of words (items, words); corners of a delay are not looked at.

        Raises:
            CodewordError: words that are not those of whole items: another number, or one at another level's place.
        """
        rows = as_array("words", words).astype(np.int64)
        count = len(self.codebook_sizes)
        inner = rows.shape[1] - self.bos - self.eos if rows.ndim == 2 else -1
        corners = count - 1 if self.order == "delay" else 0
        if inner <= 0 or inner % count or inner // count <= corners:
            expected = f"words (items, words) of whole items of {count} levels"
            raise CodewordError.of(expected, f"shape {rows.shape}", "pass whole items")
        self._check_ends(rows)
        body = rows[:, int(self.bos) : rows.shape[1] - self.eos]
        if self.order == "levels":
            levels = body.reshape(len(body), count, -1)
        else:
            levels = body.reshape(len(body), -1, count).transpose(0, 2, 1)
        if corners:
            levels = undo_delay_pattern(levels)
        tokens = self.levels.tokens(levels.transpose(0, 2, 1))
        wrong = self.levels.outside(tokens)
        if wrong.any():
            item, position, level = (int(place) for place in np.argwhere(wrong)[0])
            word = int(tokens[item, position, level]) + self.offsets[level]
            expected = f"a word of level {level} at position {position} of item {item}"
            raise CodewordError.of(expected, f"{word}", "pass words in the order of this vocabulary")
        return tokens

    def describe(self) -> dict[str, Any]:
        """All of it as plain values, for files: what a reader has to know."""
        levels = {
            "codebook_sizes": list(self.codebook_sizes),
            "offsets": list(self.offsets),
            "order": self.order,
        }
        ends = {"bos": self.bos_word, "eos": self.eos_word, "pad": self.pad_word}
        return {"size": self.size, **levels, **ends, "type": self.word_type}

    @classmethod
    def described(cls, values: Any) -> Vocabulary:
        """That of what `describe` gave.

        Raises:
            CodewordError: it is something else.
        """
        try:
            sizes = tuple(int(size) for size in values["codebook_sizes"])
            bos, eos = values["bos"] is not None, values["eos"] is not None
            found = cls(sizes, values["order"], bos, eos)
            same = min(sizes) > 0 and found.describe() == dict(values)
        except (KeyError, TypeError, ValueError) as error:
            raise CodewordError.of(
                "a vocabulary", f"{type(error).__name__}: {error}", "pack again"
            ) from error
        if not same:
            raise CodewordError.of("a vocabulary that agrees with itself", f"{values}"[:200], "pack again")
        return found

    def _check_ends(self, rows: Any) -> None:
        for word, column in ((self.bos_word, 0), (self.eos_word, -1)):
            if word is not None and rows.size and (rows[:, column] != word).any():
                what = "begin" if column == 0 else "end"
                got = f"{int(rows[:, column][rows[:, column] != word][0])}"
                raise CodewordError.of(f"items that {what} with the word {word}", got, "pass whole items")
