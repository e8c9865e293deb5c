"""Rules against float64 loops over codes, and against torch's own optimisers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import EMA, VectorQuantizer
from codeword.penalties import CodebookLoss, Commitment
from codeword.updates import Frozen, Gradient, InPlaceAdam, InPlaceSGD

ROWS, CODES, FEATURES, STEPS = 40, 7, 3, 6


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64) + s for s in range(STEPS)]


def trained(rule) -> VectorQuantizer:
    torch.manual_seed(0)
    vq = VectorQuantizer(FEATURES, CODES, update=rule).double()
    vq.codebook.init_from_(torch.randn(CODES, FEATURES, dtype=torch.float64))
    return vq


def nearest(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ((x[:, None] - codes) ** 2).sum(-1).argmin(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_ema(smoothing):
    vq = trained(EMA(0.8, init=None, revival=None, smoothing=smoothing))
    codes = vq.codebook.codes.numpy().copy()
    counts, divisor, sums = np.ones(CODES), np.ones(CODES), codes.copy()
    for x in batches():
        before = vq.codebook.codes.clone()
        vq(x)
        chosen = nearest(x.numpy(), codes)
        for k in range(CODES):
            rows = x.numpy()[chosen == k]
            sums[k] = 0.8 * divisor[k] * codes[k] + 0.2 * rows.sum(0)
            counts[k] = 0.8 * counts[k] + 0.2 * len(rows)
        divisor = (counts + smoothing) / (counts.sum() + CODES * smoothing) * counts.sum()
        hit = np.isin(np.arange(CODES), chosen)
        codes[hit] = (sums / divisor[:, None])[hit]
        np.testing.assert_allclose(vq.codebook.codes.numpy(), codes, rtol=1e-10)
        assert torch.equal(vq.codebook.codes[~torch.from_numpy(hit)], before[~torch.from_numpy(hit)])


OPTIMISERS = [
    (InPlaceSGD(3.0, 0.9, None, None), lambda p: torch.optim.SGD(p, 3.0, momentum=0.9)),
    (InPlaceSGD(3.0, 0.0, None, None), lambda p: torch.optim.SGD(p, 3.0)),
    (InPlaceAdam(0.1, init=None, revival=None), lambda p: torch.optim.Adam(p, 0.1, eps=1e-15)),
]


@pytest.mark.parametrize(("rule", "optimiser"), OPTIMISERS, ids=["sgd", "sgd-plain", "adam"])
def test_in_place_equals_autograd_and_torch(rule, optimiser):
    vq = trained(rule)
    codes = vq.codebook.codes.clone().requires_grad_()
    steps = optimiser([codes])
    for x in batches():
        mask = torch.arange(ROWS) % 5 != 0
        out = vq(x, mask)
        chosen = torch.from_numpy(nearest(x.numpy(), codes.detach().numpy()))
        steps.zero_grad()
        (codes[chosen] - x)[mask].square().mean().backward()
        steps.step()
        torch.testing.assert_close(vq.codebook.codes, codes.detach(), rtol=1e-6, atol=1e-9)
        assert torch.equal(out.quantized[mask], vq.codebook.codes[chosen[mask]])  # old indices, new codes


def test_in_place_rests_when_no_row_comes():
    for rule in (InPlaceSGD(), InPlaceAdam()):
        vq = trained(rule)
        vq(batches()[0])
        before = {k: v.clone() for k, v in vq.codebook.state().items()}
        codes = vq.codebook.codes.clone()
        vq(batches()[1], torch.zeros(ROWS, dtype=torch.bool))
        assert torch.equal(vq.codebook.codes, codes)
        for name, value in before.items():
            assert torch.equal(vq.codebook.state()[name], value)


def test_gradient_codes_learn_by_their_loss_and_stay_put_in_forward():
    torch.manual_seed(0)
    vq = VectorQuantizer(
        FEATURES, CODES, update=Gradient(revival=None), penalties=(CodebookLoss(2.0), Commitment())
    )
    assert isinstance(vq.codebook.codes, torch.nn.Parameter)
    x = batches()[0].float().requires_grad_()
    vq(x)
    codes = vq.codebook.codes.detach().clone()
    out = vq(x)
    assert torch.equal(vq.codebook.codes, codes)
    (2.0 * out.losses["codebook"]).backward()
    exact = np.zeros((CODES, FEATURES))
    chosen = out.indices.numpy()
    np.add.at(exact, chosen, 4 * (codes.numpy()[chosen] - x.detach().numpy()) / (ROWS * FEATURES))
    np.testing.assert_allclose(vq.codebook.codes.grad.numpy(), exact, rtol=1e-4, atol=1e-6)
    assert x.grad is None


def test_two_forwards_before_one_backward():
    vq = VectorQuantizer(FEATURES, 31, update=Gradient(), penalties=(CodebookLoss(), Commitment()))
    x = batches()[0].float().requires_grad_()
    vq(x)
    (vq(x).loss + vq(2 * x).loss).backward()
    assert vq.codebook.codes.grad.isfinite().all()


def test_frozen_codes_never_move():
    vq = VectorQuantizer(FEATURES, CODES, update=Frozen())
    for step, x in enumerate(batches()):
        vq(x.float())
        if step == 0:
            start = vq.codebook.codes.clone()
    assert torch.equal(vq.codebook.codes, start)
    assert int(vq.codebook.usage_count.sum()) == ROWS * STEPS
