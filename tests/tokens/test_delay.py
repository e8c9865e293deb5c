from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.tokens import delay_pattern, undo_delay_pattern


@given(st.integers(1, 6), st.integers(0, 9), st.sampled_from([(), (1,), (2, 3)]))
def test_stage_q_comes_q_steps_later(stages, steps, before):
    tokens = np.random.default_rng(0).integers(0, 16, (*before, stages, steps)).astype("uint8")
    delayed = delay_pattern(tokens, pad=16)
    assert delayed.shape == (*before, stages, steps + stages - 1)
    assert delayed.dtype == np.uint8
    for place in np.ndindex(delayed.shape):
        *item, stage, step = place
        inside = 0 <= step - stage < steps
        assert delayed[place] == (tokens[(*item, stage, step - stage)] if inside else 16)
    if steps:
        np.testing.assert_array_equal(undo_delay_pattern(delayed), tokens)


def test_the_pad_widens_the_type_only_if_it_must():
    assert delay_pattern(np.array([[255]], "uint8"), 256).dtype == np.uint16
    assert delay_pattern(np.array([[255], [0]]), 256).dtype == np.int64
    assert delay_pattern(np.array([[5], [0]], "uint8"), -100).tolist() == [[5, -100], [-100, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "uint64", "int64"])
def test_tensors_of_any_width_are_taken(dtype):
    tokens = torch.tensor([[1, 2], [3, 4]], dtype=torch.int64).to(getattr(torch, dtype))
    delayed = delay_pattern(tokens, 9)
    assert delayed.dtype == dtype
    assert delayed.tolist() == [[1, 2, 9], [9, 3, 4]]
    assert undo_delay_pattern(torch.from_numpy(delayed)).tolist() == tokens.tolist()


def test_what_a_model_says_in_the_corners_is_dropped():
    assert undo_delay_pattern([[1, 2, 7], [7, 4, 5]]).tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([[1.0]], "float64"),
        (torch.ones(2, 2, dtype=torch.int64, device="meta"), r"indices.cpu\(\)"),
        ([1, 2], r"shape \(2,\)"),
        (np.zeros((0, 3), int), r"shape \(0, 3\)"),
    ],
)
def test_what_has_no_stages_is_refused(tokens, words):
    for function in (lambda x: delay_pattern(x, 9), undo_delay_pattern):
        with pytest.raises(CodewordError, match=words):
            function(tokens)


def test_a_pad_among_the_tokens_is_refused():
    with pytest.raises(CodewordError, match="a pad that is no token, but got 2, which occurs"):
        delay_pattern([[1, 2]], pad=2)


@pytest.mark.parametrize("pad", [2**63, 1.5])
def test_a_pad_that_no_type_holds_is_refused(pad):
    with pytest.raises(CodewordError, match="a whole number as pad of int64 tokens"):
        delay_pattern([[1, 2]], pad)


def test_fewer_steps_than_stages_are_refused():
    with pytest.raises(CodewordError, match="at least 3 steps of 3 stages with the delay pattern, but got 2"):
        undo_delay_pattern([[1, 2], [3, 4], [5, 6]])
