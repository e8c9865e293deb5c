"""Balanced last indices against the exact assignment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits

from codeword import CodewordError, fit, from_spec
from codeword.fitting import balance, collisions


def optimum(left: np.ndarray, codes: np.ndarray, prefix: np.ndarray, whole: np.ndarray) -> float:
    """The least squared error at which codes are given n / K times, rounded down or up, in prefixes with collisions."""
    cost = ((left[:, None] - codes) ** 2).sum(-1)
    total = 0.0
    for number in np.unique(prefix):
        members = np.flatnonzero(prefix == number)
        if len(np.unique(whole[members])) == len(members):
            total += cost[members].min(1).sum()
            continue
        least = len(members) // len(codes)
        room = np.tile(cost[members], (1, least + 1))
        must = 1e6 * (np.arange(room.shape[1]) < least * len(codes))
        rows, places = linear_sum_assignment(room - must)
        total += room[rows, places].sum()
    return total


@pytest.mark.parametrize("spec", ["rvq3x16", "rvq2x16"])
def test_few_collisions_at_little_more_than_the_least_error(spec):
    x = torch.from_numpy(load_digits().data).float()[:600]
    quantizer = fit(x, spec, tries=1)
    indices = quantizer.encode(x)
    chosen = balance(quantizer, x, indices)
    assert torch.equal(chosen[:, :-1], indices[:, :-1])
    before, after = collisions(indices), collisions(chosen)
    _, prefix, sizes = np.unique(indices[:, :-1], axis=0, return_inverse=True, return_counts=True)
    assert after.largest == max(-(-size // 16) for size in sizes)
    assert after.distinct == sum(min(size, 16) for size in sizes) > before.distinct
    whole = np.unique(indices, axis=0, return_inverse=True)[1]
    left = (x - quantizer.decode(indices, stages=quantizer.count - 1)).double().numpy()
    codes = quantizer.components[-1].codebook.codes.double().numpy()
    error = float((quantizer.decode(chosen) - x).double().square().sum())
    assert error <= 1.05 * optimum(left, codes, prefix.ravel(), whole.ravel())


def test_vectors_that_do_not_collide_keep_their_indices():
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    quantizer = fit(x, "rvq3x32")
    indices = quantizer.encode(x)
    assert collisions(indices).share == 0
    assert torch.equal(balance(quantizer, x, indices), indices)


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ("vq4", (10,), "a residual quantizer of two stages"),
        ("rvq2x4,code_features=3", (10, 2), "a residual quantizer of two stages"),
        ("rvq2x4", (9, 2), r"indices \(10, 2\), one row for each vector, but got shape \(9, 2\)"),
        ("rvq2x(gvq2x4)", (10, 2, 2), "vector quantizers with the Euclidean metric"),
    ],
)
def test_errors(spec, shape, message):
    with pytest.raises(CodewordError, match=message):
        balance(from_spec(spec, features=4), torch.randn(10, 4), torch.zeros(shape, dtype=torch.int64))
