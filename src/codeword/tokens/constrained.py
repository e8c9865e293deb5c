"""Constrained decoding: a language model writes only valid IDs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.tokens.trie import PrefixTrie
from codeword.tokens.vocabulary import IdVocabulary

__all__ = ["ValidIds"]


class ValidIds:
    """Takes the words so far and the logits of the next word, and sets the logits of invalid words to -inf.

    It has the interface of a `LogitsProcessor` of transformers, and no state: the last words determine the position in
    an ID. After a complete ID, and after words that are not the beginning of an ID, a new ID or a word of `between`
    must follow. So a model may write any number of items one after another.

    Args:
        trie: of the valid IDs.
        vocabulary: of the model, with the sizes of the trie.
        between: special words that are valid between IDs, such as "<eos>".

    Raises:
        CodewordError: other sizes, or a word that is not special.

    Examples:
        >>> trie = PrefixTrie(np.array([[0, 1], [1, 0]]), (2, 2))
        >>> valid = ValidIds(trie, IdVocabulary((2, 2), special=("<eos>",)), between=())
        >>> valid(torch.tensor([[0], [1], [2]]), torch.zeros(3, 5)).tolist()
        [[-inf, 0.0, 0.0, -inf, -inf], [-inf, -inf, -inf, -inf, 0.0], [-inf, -inf, -inf, 0.0, -inf]]
    """

    def __init__(
        self, trie: PrefixTrie, vocabulary: IdVocabulary, between: tuple[str, ...] = ("<eos>",)
    ) -> None:
        if trie.sizes != vocabulary.sizes:
            remedy = "export both from one generation of a catalogue"
            raise CodewordError.of(f"a vocabulary of levels {trie.sizes}", f"{vocabulary.sizes}", remedy)
        self.trie, self.vocabulary = trie, vocabulary
        self.between = [vocabulary.number(word) for word in between]

    def __call__(self, words: Tensor, logits: Tensor) -> Tensor:
        """The logits (batch, vocabulary) that are left.

        Args:
            words: (batch, time), so far.
            logits: of the next word.

        Raises:
            CodewordError: fewer logits than words.
        """
        least = self.vocabulary.first + len(self.vocabulary)
        if logits.shape[1] < least:
            raise CodewordError.of(
                f"logits of at least {least} words", f"{logits.shape[1]}", "widen the model's head"
            )
        allowed = torch.from_numpy(self.allowed(words.cpu().numpy(), logits.shape[1]))
        return logits.masked_fill(~allowed.to(logits.device), -torch.inf)

    def allowed(self, words: np.ndarray, count: int) -> np.ndarray:
        """Which of `count` words may come next: bool (batch, count)."""
        found = np.zeros((len(words), count), bool)
        length = self._lengths(words)
        offsets, sizes = self.vocabulary.offsets, self.vocabulary.sizes
        for level in np.unique(length).tolist():
            rows = np.flatnonzero(length == level)
            prefix = words[rows, words.shape[1] - level :] - np.array(offsets[:level], np.int64)
            mask = self.trie.mask(prefix)
            found[rows, offsets[level] : offsets[level] + sizes[level]] = mask
            length[rows[~mask.any(1)]] = 0  # no ID begins so: another one is to begin
        new = np.flatnonzero(length == 0)
        found[new, offsets[0] : offsets[0] + sizes[0]] = self.trie.mask(np.empty((1, 0), np.int64))
        for word in self.between:
            found[new, word] = True
        return found

    def _lengths(self, words: np.ndarray) -> np.ndarray:
        """How many tokens of the ID that is being written are there."""
        levels = len(self.vocabulary.sizes)
        bounds = np.array([*self.vocabulary.offsets, self.vocabulary.offsets[-1] + self.vocabulary.sizes[-1]])
        if not words.shape[1]:
            return np.zeros(len(words), np.int64)
        level = np.searchsorted(
            bounds, words[:, -1], side="right"
        )  # 0: before the levels; levels + 1: behind them
        return np.where((level < levels) & (level <= words.shape[1]), level, 0)
