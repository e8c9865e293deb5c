"""MeanEMA and a kept budget against their formulas in NumPy, and the replacement of codes by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import EMA, Gradient, VectorQuantizer
from codeword.penalties import CodebookLoss
from codeword.revivals import BelowBudget
from codeword.updates import MeanEMA, SmoothedEMA


def test_codes_move_a_fixed_part_of_the_way_to_the_mean():
    torch.manual_seed(0)
    rule = MeanEMA(decay=0.7, init=None, revival=BelowBudget(0.0, decay=0.9))
    vq = VectorQuantizer(4, 16, update=rule)
    vq.codebook.init_from_(torch.randn(16, 4))
    codes, budget = vq.codebook.codes.double().numpy(), np.ones(16)
    for _ in range(5):
        x = torch.randn(30, 4)
        rows = x.double().numpy()
        chosen = ((rows[:, None] - codes) ** 2).sum(-1).argmin(1)
        hits = np.bincount(chosen, minlength=16)
        for k in np.flatnonzero(hits):
            codes[k] = 0.7 * codes[k] + 0.3 * rows[chosen == k].mean(0)
        budget = 0.9 * budget + 0.1 * hits * 16 / 30
        budget *= 16 / budget.sum()
        np.testing.assert_array_equal(vq(x).indices, chosen)
        np.testing.assert_allclose(vq.codebook.codes, codes, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(vq.codebook.budget, budget, rtol=1e-5)
    assert vq.usage().revived == 0  # with a share of 0 nothing is ever dead


def test_one_row_weighs_as_much_as_many():
    """What tells it from EMA: with EMA the code would stay at the mean of the many rows that it has seen."""
    ends = {}
    for rule in (MeanEMA(decay=0.9, init=None, revival=None), EMA(decay=0.9, init=None, revival=None)):
        vq = VectorQuantizer(1, 1, update=rule)
        vq.codebook.init_from_(torch.zeros(1, 1))
        vq(torch.zeros(999, 1))
        vq(torch.ones(1, 1))
        ends[type(rule)] = float(vq.codebook.codes)
    assert abs(ends[MeanEMA] - 0.1) < 1e-6
    assert ends[EMA] < 1e-2


@pytest.mark.parametrize("rule", [SmoothedEMA, Gradient])
def test_dead_codes_take_the_places_in_order_and_start_anew(rule):
    torch.manual_seed(0)
    penalties = (CodebookLoss(),) if rule.by_gradient else ()
    vq = VectorQuantizer(2, 6, update=rule(decay=0.9, init=None, revival=None), penalties=penalties)
    vq(torch.randn(100, 2))
    book = vq.codebook
    before, mean = book.codes.detach().clone(), book.cluster_size.mean()
    dead = torch.tensor([False, True, False, True, True, False])
    book.replace_(dead, torch.tensor([[7.0, 7.0], [8.0, 8.0], [9.0, 9.0]]), torch.tensor(2))
    assert book.codes[[1, 3]].tolist() == [[7.0, 7.0], [8.0, 8.0]]
    assert torch.equal(book.codes[[0, 2, 4, 5]], before[[0, 2, 4, 5]])
    assert torch.equal(book.cluster_size[[1, 3]], mean.expand(2))
    if rule is SmoothedEMA:
        torch.testing.assert_close(book.sums, book.cluster_size[:, None] * book.codes)
    else:
        assert book.last_revived.tolist() == [False, True, False, True, False, False]
    assert vq.usage().revived == 2
