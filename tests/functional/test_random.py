"""Draws: uniform, independent of each other, and the same from the same key."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from codeword.codebooks.rng import Rng
from codeword.functional import Key, Purpose
from codeword.kernels import draws

U = np.uint32


def mix(h: np.ndarray) -> np.ndarray:
    """The documented hash, in NumPy's wrapping uint32 arithmetic."""
    h = h ^ (h >> U(16))
    h = h * U(0x21F0AAAD)
    h = h ^ (h >> U(15))
    h = h * U(0x735A2D97)
    return h ^ (h >> U(15))


def word(number: int) -> np.ndarray:
    return np.array([number & 0xFFFFFFFF], U)


def hashed(state: int, tag: int, purpose: int, numbers: np.ndarray) -> np.ndarray:
    """The hash of each number under a key."""
    upper = word(state >> 30) ^ mix(word(tag) ^ word(purpose) * U(0x9E3779B9))
    return mix(mix(numbers ^ upper) + word(state))


def as_uniform(bits: np.ndarray) -> np.ndarray:
    return ((bits >> U(9)) + 0.5) / 2**23


KEYS = st.builds(
    lambda half, tag: Key(torch.tensor(2 * half + 1), tag),
    st.integers(0, 2**61 - 1),
    st.integers(0, 2**32 - 1),
)
PURPOSES = st.sampled_from(list(Purpose))


@given(KEYS, PURPOSES)
def test_uniform_equals_the_32_bit_definition(key, purpose):
    with np.errstate(over="ignore"):
        expected = as_uniform(hashed(int(key.state), key.tag, purpose, np.arange(33, dtype=U)))
    np.testing.assert_array_equal(key.uniform(purpose, 3, 11).double().numpy().ravel(), expected)


@given(KEYS, PURPOSES, st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_uniform_at_equals_the_32_bit_definition(key, purpose, positions):
    with np.errstate(over="ignore"):
        each = hashed(int(key.state), key.tag, purpose, np.array(positions, U))[:, None]
        expected = as_uniform(mix(mix(np.arange(7, dtype=U) ^ each) + each))
    drawn = key.uniform_at(purpose, torch.tensor(positions, dtype=torch.int64), 7)
    np.testing.assert_array_equal(drawn.double().numpy(), expected)


@given(KEYS)
def test_the_next_key_equals_its_definition(key):
    assert int(key.following()) == int(key.state) * 6364136223846793005 % 2**62


def steps(count: int) -> list[Key]:
    """The keys of the steps of a quantizer."""
    torch.manual_seed(0)
    rng, keys = Rng(), []
    for _ in range(count):
        keys.append(rng.next_key())
        rng.advance_(keys[-1])
    return keys


@pytest.mark.parametrize("keys", [steps(20), [Key.of(1, step) for step in range(20)]], ids=["rng", "of"])
def test_uniform_and_normal_have_their_distributions(keys):
    uniform = torch.cat([key.uniform(Purpose.NOISE, 2000) for key in keys]).numpy()
    normal = torch.cat([key.normal(Purpose.INIT, 40, 50).flatten() for key in keys]).numpy()
    at = torch.cat([key.normal_at(Purpose.INIT, torch.arange(50), 40).flatten() for key in keys]).numpy()
    assert 0 < uniform.min() < uniform.max() < 1
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    for drawn in (normal, at):
        assert stats.kstest(drawn, "norm").pvalue > 1e-3
        assert np.isfinite(drawn).all()


OTHERS = {
    "seed": Key.of(2),
    "step": Key.of(1, 1),
    "large seed": Key.of(1 + 2**32),
    "large step": Key.of(1, 2**32),
    "next": Key(Key.of(1).following()),
    "folded": Key.of(1).fold_in(0),
    "folded twice": Key.of(1).fold_in(0).fold_in(0),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_keys_are_independent(other):
    a, b = Key.of(1).uniform(Purpose.NOISE, 5000), other.uniform(Purpose.NOISE, 5000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.06


def test_purposes_are_independent():
    drawn = torch.stack([Key.of(1).uniform(purpose, 5000) for purpose in Purpose])
    assert (torch.corrcoef(drawn) - torch.eye(len(drawn))).abs().max() < 0.06


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 50))
def test_strata_take_one_of_each_stretch(total, count, step):
    sets, fresh = Key.of(1, step).strata(Purpose.SAMPLE, torch.tensor(total), count, sets=2)
    assert sets.shape == (2, count)
    for positions in sets:
        check_strata(positions, fresh, total, count)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 5), st.integers(1, 2**62 - 1))
def test_known_numbers_draw_what_tensors_draw(total, count, sets, state):
    drawn = draws.plain(torch.tensor(state), torch.tensor(total), 12345, count, sets)
    for ours, theirs in zip(draws.known(state, total, 12345, count, sets), drawn, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def check_strata(positions, fresh, total, count):
    taken = positions[fresh].tolist()
    assert len(taken) == min(total, count)
    assert len(set(taken)) == len(taken)
    assert taken == sorted(taken)
    assert ((positions >= 0) & (positions < total)).all()
    if count >= total:
        assert positions.tolist() == [i % total for i in range(count)]


def test_strata_are_fair_and_safe_at_the_edges():
    hits = torch.zeros(10)
    for step in range(4000):
        hits[Key.of(1, step).strata(Purpose.SAMPLE, torch.tensor(10), 3)[0][0]] += 1
    # stretches of 3, 3 and 4 positions: a third, a third and a quarter each
    expected = torch.tensor([4000 / 3] * 6 + [1000.0] * 4)
    assert stats.chisquare(hits.numpy(), expected.numpy()).pvalue > 1e-3
    positions, fresh = Key.of(1).strata(Purpose.SAMPLE, torch.tensor(0), 4)
    assert positions.tolist() == [[0, 0, 0, 0]]
    assert not fresh.any()
    big, _ = Key.of(1).strata(Purpose.SAMPLE, torch.tensor(2**31 - 1), 1000)
    assert ((big >= 0) & (big < 2**31 - 1)).all()


def test_the_first_key_comes_from_torch():
    torch.manual_seed(3)
    first = Rng().key
    torch.manual_seed(3)
    assert Rng().key == first
    assert 0 < first < 2**62
    assert first % 2 == 1
