"""Every two parts of different axes, together in one layer, held to the promises in short."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

import codeword
from promises.operators import as_elsewhere
from promises.pairwise import AXES, FEATURES, build, covering_array, pairs_of
from promises.test_p7_no_sync import Watch

ARRAY = covering_array()
NAMES = list(AXES)
SHARES = 4  # of the array, of which the first goes to ranks at every time, the others with the slow tests


def name(combination) -> str:
    return "-".join(map(str, combination))


every_combination = pytest.mark.parametrize("combination", ARRAY, ids=name)


def x(step: int, dim: int) -> torch.Tensor:
    rows = torch.randn(3, 15, FEATURES, generator=torch.Generator().manual_seed(step))
    return rows.movedim(-1, dim).contiguous()


def mask(step: int) -> torch.Tensor:
    return torch.rand(3, 15, generator=torch.Generator().manual_seed(step)) < 0.6


def may_meet(axis_a: str, a: object, axis_b: str, b: object) -> bool:
    """What the documentation of the parts says of two of them."""
    together = {axis_a: a, axis_b: b}
    update, transform = together.get("update"), together.get("transform")
    estimator, revival = together.get("estimator"), together.get("revival")
    gradient_free = update in (
        codeword.EMA,
        codeword.updates.MeanEMA,
        codeword.updates.SmoothedEMA,
        codeword.updates.InPlaceSGD,
        codeword.updates.InPlaceAdam,
    )
    if gradient_free and transform is not None:
        return False
    if gradient_free and estimator in (codeword.StraightThrough(sync=0.5), codeword.estimators.Directional()):
        return False
    if gradient_free and codeword.penalties.CodebookLoss() in together.get("penalties", ()):
        return False
    if update is codeword.Frozen and revival is not None:
        return False
    return not (revival is not None and transform is not None and not transform.invertible)


def test_the_array_has_every_pair_that_may_meet():
    covered = set().union(*map(pairs_of, ARRAY))
    for (i, a_name), (j, b_name) in itertools.combinations(enumerate(NAMES), 2):
        for a, b in itertools.product(range(len(AXES[a_name])), range(len(AXES[b_name]))):
            meets = may_meet(a_name, AXES[a_name][a], b_name, AXES[b_name][b])
            assert ((i, a, j, b) in covered) == meets, (AXES[a_name][a], AXES[b_name][b])
    assert len(ARRAY) < 150


@every_combination
def test_promises_in_short(combination):
    torch.manual_seed(0)
    vq = build(combination)
    masked = copy.deepcopy(vq)
    for step in range(3):
        rows = x(step, vq.dim).requires_grad_()
        out = vq(rows)
        assert torch.equal(vq.decode(out.indices), out.quantized)
        (out.quantized.square().sum() + out.loss).backward()
        assert rows.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in vq.parameters())
        holes = torch.where(mask(step).unsqueeze(vq.dim), x(step, vq.dim), torch.nan)
        padded = masked(holes, mask(step))
        assert padded.quantized.isfinite().all()
        assert padded.loss.isfinite()
    resumed = build(combination)
    resumed.load_state_dict(vq.state_dict())
    assert codeword.from_spec(vq.spec, features=FEATURES, dim=vq.dim).spec == vq.spec
    before = copy.deepcopy(vq.state_dict())
    indices = vq.encode(x(5, vq.dim))
    out = vq.eval()(x(5, vq.dim))
    assert torch.equal(out.indices, indices)
    assert torch.equal(vq.decode(indices), out.quantized)
    assert all(torch.equal(value, before[key]) for key, value in vq.state_dict().items())
    rows = x(7, vq.dim).requires_grad_()
    with Watch() as watch, as_elsewhere:
        out = copy.deepcopy(vq).train()(rows)
        (out.quantized.square().sum() + out.loss).backward()
    assert watch.waits == []
    half = copy.deepcopy(vq).bfloat16()
    assert all(torch.equal(v, before[k]) for k, v in half.state_dict().items() if not k.startswith("project"))
    vq.train()
    assert torch.equal(vq(x(6, vq.dim)).loss, resumed(x(6, vq.dim)).loss)


def train(vq, rank: int | None) -> dict[str, torch.Tensor]:
    for step in range(4):
        rows, seen = x(step, vq.dim), mask(step)
        if rank is not None:
            rows, seen = rows.split([2, 0, 1, 0])[rank], seen.split([2, 0, 1, 0])[rank]
        vq(rows, seen)
    return vq.state_dict()


def train_all(rank: int, first: int) -> list[dict[str, torch.Tensor]]:
    states = []
    for combination in ARRAY[first::SHARES]:
        torch.manual_seed(0)
        states.append(train(build(combination), rank))
    return states


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, SHARES))])
def test_ranks_equal_one_process(first, ranks):
    shared = ranks.run(train_all, first)
    for number, combination in enumerate(ARRAY[first::SHARES]):
        torch.manual_seed(0)
        alone = train(build(combination), None)
        for states in shared:
            for key, value in alone.items():
                torch.testing.assert_close(
                    states[number][key], value, rtol=1e-4, atol=1e-4, msg=f"{key} of {name(combination)}"
                )
