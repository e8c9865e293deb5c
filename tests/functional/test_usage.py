"""Usage against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.functional import UsageCounter, usage


@given(st.lists(st.integers(-1, 12), max_size=80), st.integers(13, 20))
def test_equals_numpy(indices, size):
    counts = np.bincount([i for i in indices if i >= 0], minlength=size).astype(np.float64)
    share = counts / max(counts.sum(), 1)
    entropy = -sum(p * np.log2(p) for p in share if p > 0)
    got = usage(torch.tensor(indices, dtype=torch.int32).reshape(-1, 1), size)
    assert got.used == (counts > 0).sum()
    assert got.dead == size - got.used
    assert got.revived == 0
    assert got.entropy.item() == pytest.approx(entropy, abs=1e-5)
    assert got.perplexity.item() == pytest.approx(2**entropy if counts.sum() else 0, rel=1e-5)


def test_counter_adds_up():
    counter = UsageCounter(8)
    for part in torch.arange(8).split(3):
        counter.add(part)
    assert counter.usage() == usage(torch.arange(8), 8)


@pytest.mark.parametrize("bad", [8, -2])
def test_out_of_range(bad):
    with pytest.raises(ValueError, match="expected indices from -1 to 7"):
        usage(torch.tensor([0, bad]), 8)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16])
def test_the_largest_number_of_a_small_type(dtype):
    """No type is too small for the one that is added to an index."""
    largest = torch.iinfo(dtype).max
    used = usage(torch.tensor([largest, largest, 3]).to(dtype), largest + 1)
    assert (int(used.used), int(used.dead)) == (2, largest - 1)
