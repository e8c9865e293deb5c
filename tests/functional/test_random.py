"""Draws: uniform, independent of each other, and the same from the same (seed, step)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from codeword.functional import Draws, Purpose, new_seed


def draws(seed: int = 1, step: int = 0) -> Draws:
    return Draws(torch.tensor(seed), torch.tensor(step))


def hashed(seed: int, step: int, stream: int, count: int) -> np.ndarray:
    """The documented hash, in NumPy's wrapping uint32 arithmetic."""

    def mix(h):
        h = h ^ (h >> np.uint32(16))
        h = h * np.uint32(0x21F0AAAD)
        h = h ^ (h >> np.uint32(15))
        h = h * np.uint32(0x735A2D97)
        return h ^ (h >> np.uint32(15))

    with np.errstate(over="ignore"):
        key = mix(np.array([seed & 0xFFFFFFFF], np.uint32))
        for word in (seed >> 32, step & 0xFFFFFFFF, step >> 32, stream):
            key = mix(key + np.array([word & 0xFFFFFFFF], np.uint32) + np.uint32(0x9E3779B9))
        return mix(mix(np.arange(count, dtype=np.uint32) ^ key) + key)


@given(st.integers(0, 2**62 - 1), st.integers(0, 2**40), st.sampled_from(list(Purpose)))
def test_bits_equal_the_32_bit_definition(seed, step, stream):
    expected = hashed(seed, step, int(stream), 33)
    assert draws(seed, step).bits(stream, 33).tolist() == expected.tolist()


def test_uniform_and_normal_have_their_distributions():
    uniform = torch.cat([draws(step=s).uniform(Purpose.NOISE, 2000) for s in range(20)]).numpy()
    normal = torch.cat([draws(step=s).normal(Purpose.CODES, 40, 50).flatten() for s in range(20)]).numpy()
    assert 0 < uniform.min() < uniform.max() < 1
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    assert np.isfinite(normal).all()


@pytest.mark.parametrize("other", [draws(seed=2), draws(step=1), draws(seed=1 + 2**32), draws(step=2**32)])
def test_seeds_and_steps_are_independent(other):
    a, b = draws().uniform(Purpose.NOISE, 5000), other.uniform(Purpose.NOISE, 5000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.06


def test_streams_are_independent():
    drawn = torch.stack([draws().uniform(stream, 5000) for stream in Purpose])
    assert (torch.corrcoef(drawn) - torch.eye(len(drawn))).abs().max() < 0.06


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 50))
def test_strata_take_one_of_each_stretch(total, count, step):
    positions, fresh = draws(step=step).strata(Purpose.SAMPLE, torch.tensor(total), count)
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
        hits[draws(step=step).strata(Purpose.SAMPLE, torch.tensor(10), 3)[0]] += 1
    # stretches of 3, 3 and 4 positions: a third, a third and a quarter each
    expected = torch.tensor([4000 / 3] * 6 + [1000.0] * 4)
    assert stats.chisquare(hits.numpy(), expected.numpy()).pvalue > 1e-3
    positions, _ = draws().strata(Purpose.SAMPLE, torch.tensor(0), 4)
    assert positions.tolist() == [0, 0, 0, 0]
    big, _ = draws().strata(Purpose.SAMPLE, torch.tensor(2**31 - 1), 1000)
    assert ((big >= 0) & (big < 2**31 - 1)).all()


def test_new_seed_comes_from_torch():
    torch.manual_seed(3)
    first = new_seed()
    torch.manual_seed(3)
    assert new_seed() == first
    assert 0 <= first < 2**62
