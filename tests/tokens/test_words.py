"""Tokens as words of one vocabulary: against loops by hand, and back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.tokens import Vocabulary

ORDERS = ["interleave", "delay", "levels"]


def by_hand(tokens, vocabulary):
    """The words of one item, tokens (positions, levels)."""
    positions, levels = tokens.shape
    offsets = [sum(vocabulary.codebook_sizes[:level]) for level in range(levels)]
    plain = sum(vocabulary.codebook_sizes)
    bos, eos, pad = [plain], [plain + vocabulary.bos], plain + vocabulary.bos + vocabulary.eos
    if vocabulary.order == "levels":
        words = [tokens[p, q] + offsets[q] for q in range(levels) for p in range(positions)]
    elif vocabulary.order == "interleave":
        words = [tokens[p, q] + offsets[q] for p in range(positions) for q in range(levels)]
    else:
        words = []
        for step in range(positions + levels - 1):
            for q in range(levels):
                inside = 0 <= step - q < positions
                words.append(tokens[step - q, q] + offsets[q] if inside else pad)
    return bos * vocabulary.bos + [int(word) for word in words] + eos * vocabulary.eos


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 90000), min_size=1, max_size=4),
    order=st.sampled_from(ORDERS),
    ends=st.tuples(st.booleans(), st.booleans()),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    seed=st.integers(0, 2**32 - 1),
)
def test_words_are_those_by_hand_and_come_back(sizes, order, ends, shape, seed):
    vocabulary = Vocabulary(tuple(sizes), order, *ends)
    draws = np.random.default_rng(seed)
    tokens = np.stack([draws.integers(0, size, shape) for size in sizes], -1)
    words = vocabulary.flatten(tokens)
    assert words.tolist() == [by_hand(item, vocabulary) for item in tokens]
    assert words.max() < vocabulary.size
    assert words.shape[1] == vocabulary.words_of(shape[1])
    assert np.array_equal(vocabulary.restore(words), tokens)
    assert Vocabulary.described(vocabulary.describe()) == vocabulary
    assert words.max() <= np.iinfo(vocabulary.word_type).max


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1])
def test_the_type_holds_all_words(size):
    assert Vocabulary((size,)).word_type == ("uint16" if size <= 2**16 else "uint32")
    assert Vocabulary((size,), bos=True).word_type == ("uint16" if size < 2**16 else "uint32")


def test_what_a_model_says_in_the_corners_is_not_looked_at():
    vocabulary = Vocabulary((4, 4), "delay")
    words = vocabulary.flatten([[[1, 2], [3, 0]]])
    assert words.tolist() == [[1, 8, 3, 6, 8, 4]]
    words[0, [1, 4]] = 0
    assert vocabulary.restore(words).tolist() == [[[1, 2], [3, 0]]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([[20, 1, 10, 21, 5]], r"words \(items, words\) of whole items of 2 levels, but got shape \(1, 5\)"),
        ([[1, 10]], r"but got shape \(1, 2\)"),
        ([[0, 1, 10, 21]], "begin with the word 20, but got 0"),
        ([[20, 1, 10, 3]], "end with the word 21, but got 3"),
        ([[20, 10, 1, 21]], "a word of level 0 at position 0 of item 0, but got 10"),
        ([[20, 1, 21, 21]], "a word of level 1 at position 0 of item 0, but got 21"),
        ([[20.0, 1.0, 10.0, 21.0]], "whole numbers"),
    ],
)
def test_words_that_are_no_items_are_named(words, message):
    with pytest.raises(CodewordError, match=message):
        Vocabulary((10, 10), bos=True, eos=True).restore(words)


def test_wrong_tokens_and_settings_are_named():
    with pytest.raises(CodewordError, match=r"tokens \(items, positions, 2\), but got shape \(1, 2\)"):
        Vocabulary((10, 10)).flatten([[1, 2]])
    with pytest.raises(CodewordError, match=r"tokens below \(10, 10\), but got tokens from 1 to 10"):
        Vocabulary((10, 10)).flatten([[[1, 10]]])
    with pytest.raises(CodewordError, match="at most 2.32 words"):
        Vocabulary((2**40,))
    with pytest.raises(CodewordError, match="order="):
        Vocabulary((9,), "sideways")
    for values in ({}, Vocabulary((9,)).describe() | {"size": 8}, "words"):
        with pytest.raises(CodewordError, match="a vocabulary"):
            Vocabulary.described(values)
