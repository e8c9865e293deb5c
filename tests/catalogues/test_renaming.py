"""Codes renamed after a fit anew: the assignment beside scipy's, and what `ids refresh` makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import codeword
from codeword.workbench.semantic_ids.assignment import largest_assignment
from codeword.workbench.semantic_ids.renaming import churn, new_names, rename_


@pytest.mark.parametrize("n", [1, 2, 7, 40, 120])
@pytest.mark.parametrize("most", [1, 3, 10**9])
def test_the_sum_is_that_of_scipy(n, most):
    weights = np.random.default_rng(n).integers(0, most, (n, n))
    found = largest_assignment(weights)
    assert sorted(found) == list(range(n))
    assert weights[np.arange(n), found].sum() == weights[linear_sum_assignment(weights, maximize=True)].sum()


def test_codes_that_were_only_renumbered_get_their_names_back():
    draw = np.random.default_rng(0)
    old = draw.integers(0, 16, (3000, 3))
    orders = [draw.permutation(16) for _ in range(3)]
    new = np.stack([order[column] for order, column in zip(orders, old.T, strict=True)], 1)
    names = new_names(old, new, (16, 16, 16))
    back = np.stack([name[column] for name, column in zip(names, new.T, strict=True)], 1)
    assert np.array_equal(back, old)
    assert churn(old, back) == {"moved": 0, "share": 0.0, "prefixes_kept": [1.0, 1.0, 1.0]}


def test_each_level_keeps_as_many_as_scipy_would():
    draw = np.random.default_rng(1)
    old, new = draw.integers(0, 9, (500, 3)), draw.integers(0, 9, (500, 3))
    agree = np.ones(500, bool)
    for level, name in enumerate(new_names(old, new, (9, 9, 9))):
        overlap = np.zeros((9, 9), int)
        np.add.at(overlap, (new[agree, level], old[agree, level]), 1)
        agree &= name[new[:, level]] == old[:, level]
        assert agree.sum() == overlap[linear_sum_assignment(overlap, maximize=True)].sum()


@pytest.mark.parametrize("spec", ["rvq2x8", "gvq2x8", "vq8", "vq8,cosine", "vq8,entropy_constrained(1.0)"])
def test_renamed_codes_decode_to_the_same(spec):
    rows = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    quantizer = codeword.fit(rows, spec, tries=1, steps=5)
    before = quantizer.encode(rows).reshape(200, -1)
    decoded = quantizer.decode(quantizer.encode(rows))
    names = [np.random.default_rng(n).permutation(8) for n in range(before.shape[1])]
    rename_(quantizer, names)
    after = quantizer.encode(rows).reshape(200, -1)
    expected = np.stack([name[column] for name, column in zip(names, before.T.numpy(), strict=True)], 1)
    assert np.array_equal(after.numpy(), expected)
    assert torch.equal(quantizer.decode(quantizer.encode(rows)), decoded)
