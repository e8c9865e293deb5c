"""When codes are revived and where they go."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import EMA, VectorQuantizer
from codeword.functional import Key
from codeword.penalties import CodebookLoss
from codeword.revivals import BelowBudget, BelowCount, BelowShare, Split, Stale
from codeword.updates import Gradient, InPlaceAdam, InPlaceSGD, SmoothedEMA
from distances import squared_distances

KEY = Key.of(1, 2)
REVIVALS = [BelowShare(), Stale(2, at_most=6), BelowCount(0.1), BelowBudget(0.05, 0.9), Split()]
RULES = [EMA, Gradient, InPlaceSGD, InPlaceAdam]


def far_off(rule, size: int = 64) -> VectorQuantizer:
    """A quantizer of which one code in eight is near the data."""
    torch.manual_seed(0)
    penalties = (CodebookLoss(),) if rule.by_gradient else ()
    vq = VectorQuantizer(4, size, update=rule, penalties=penalties)
    codes = torch.randn(size, 4)
    codes[size // 8 :] += 1000
    vq.codebook.init_from_(codes)
    return vq


@pytest.mark.parametrize("revival", REVIVALS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_dead_codes_come_back(rule, revival):
    options = {"decay": 0.9} if rule is not InPlaceSGD else {"decay": 0.9, "learning_rate": 1.0}
    vq = far_off(rule(revival=revival, **options))
    # Codes that split must move apart to stay in use, which those that learn by gradient do in an optimizer's step.
    optimizer = torch.optim.SGD(vq.parameters(), 1.0) if rule.by_gradient else None
    for step in range(205):
        if step == 200:
            assert int(vq.usage().revived) >= 56
            vq.reset_usage()
        loss = vq(torch.randn(512, 4, generator=torch.Generator().manual_seed(step))).loss
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert int(vq.usage().used) >= 62


@pytest.mark.parametrize("rule", [*RULES, SmoothedEMA], ids=lambda r: r.__name__)
def test_all_that_is_remembered_of_a_revived_code_starts_anew(rule):
    vq = far_off(rule(revival=Stale(1, noise=0.0, at_most=60)))
    x = torch.randn(512, 4)
    vq(x)
    book = vq.codebook
    dead = book.usage_count == 0
    moved = dead & (dead.cumsum(0) <= 60)
    assert int(moved.sum()) > 50
    vq(x)  # what nobody chose in the first step is moved at the start of the second
    assert int(vq.usage().revived) == int(moved.sum())
    assert not rule.by_gradient or torch.equal(book.last_revived, moved)
    fresh = book.update.state(book.codes.detach(), book.cluster_size)
    # a revived code is on a row of the batch, so the one step it has learned from moves it little
    distance = squared_distances(book.codes.detach()[moved], x).min(1).values.sqrt()
    assert float(distance.max()) < 1.5
    assert (book.cluster_size[moved] > 0.1 * book.cluster_size.mean()).all()
    if "sums" in fresh:
        torch.testing.assert_close(book.state()["sums"][moved], fresh["sums"][moved], rtol=1e-4, atol=1e-4)
    if "steps" in fresh:
        assert (book.state()["steps"][moved] == 1).all()
        assert (book.state()["steps"][~moved] == 2).all()


def test_stale_counts_batches_with_rows():
    revival = Stale(3)
    state = revival.state(torch.ones(4))
    for hits in ([1, 0, 2, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]):
        state = revival.observe(state, torch.tensor(hits).float(), torch.tensor(sum(hits)))
    assert state["idle"].tolist() == [0, 0, 2, 3]
    assert revival.dead(state).tolist() == [False, False, False, True]


def test_stale_noise_is_in_units_of_the_norm():
    rows = 50 * torch.randn(4000, 8, generator=torch.Generator().manual_seed(0)).double()
    places = Stale(noise=0.02).replacements(rows, rows, {}, KEY)
    relative = (places - rows).norm(dim=1) / rows.norm(dim=1)
    assert float(relative.mean()) == pytest.approx(0.02 * np.sqrt(8), rel=0.05)


def test_budget_against_its_recursion():
    revival = BelowBudget(0.3, 0.8)
    state, budget = revival.state(torch.ones(5)), np.ones(5)
    for step in range(8):
        hits = np.random.default_rng(step).integers(0, 4, 5) * np.array([1, 1, 1, 1, 0]) + [1, 0, 0, 0, 0]
        state = revival.observe(state, torch.from_numpy(hits).float(), torch.tensor(hits.sum()))
        budget = 0.8 * budget + 0.2 * 5 * hits / hits.sum()
        budget *= 5 / budget.sum()
        np.testing.assert_allclose(state["budget"].numpy(), budget, rtol=1e-5)
    assert revival.dead(state).tolist() == (budget < 0.3).tolist()
    empty = revival.observe(state, torch.zeros(5), torch.tensor(0))
    assert torch.equal(empty["budget"], state["budget"])


def test_split_goes_beside_the_most_used():
    codes = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    state = {"cluster_size": torch.tensor([1.0, 9.0, 0.0, 5.0, 7.0, 0.1])}
    places = Split(noise=1e-3, at_most=3).replacements(torch.zeros(0, 3), codes, state, KEY)
    torch.testing.assert_close(places, codes[[1, 4, 3]], rtol=0.01, atol=0.01)
    assert not torch.equal(places, codes[[1, 4, 3]])
    assert Split().dead(state).tolist() == [False, False, True, False, False, True]


def test_a_count_is_absolute():
    state = {"cluster_size": torch.tensor([0.5, 1.0, 3.0])}
    assert BelowCount(1.0).dead(state).tolist() == [True, False, False]
    assert BelowShare(0.5).dead(state).tolist() == [True, False, False]


def test_at_most_bounds_the_moves_of_a_step():
    vq = far_off(EMA(revival=Stale(1, at_most=3)))
    for step in range(4):
        vq(torch.randn(512, 4, generator=torch.Generator().manual_seed(step)))
        assert int(vq.usage().revived) <= 3 * step
    assert int(vq.usage().revived) > 0


@pytest.mark.parametrize("rule", [EMA, Gradient])
def test_masked_rows_revive_nothing(rule):
    vq = far_off(rule(revival=Stale(1, noise=0.0)))
    vq(torch.randn(512, 4))
    vq(torch.full((10, 4), 777.0), torch.zeros(10, dtype=torch.bool))
    vq(torch.randn(512, 4))
    assert not (vq.codebook.codes == 777).any()
