"""No part makes a gradient that is not finite, however little there is to learn from."""

from __future__ import annotations

import pytest
import torch

from promises.parts_cases import PARTS_CASES

ROWS = {
    "all masked": (
        torch.randn(3, 17, 6, generator=torch.Generator().manual_seed(1)),
        torch.zeros(3, 17).bool(),
    ),
    "all zero": (torch.zeros(3, 17, 6), None),
    "all alike": (torch.ones(3, 17, 6), None),
    "one row": (torch.ones(1, 6), None),
    "no row": (torch.zeros(0, 6), None),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", PARTS_CASES)
def test_gradients_are_finite(name, rows):
    torch.manual_seed(0)
    vq = PARTS_CASES[name]()
    vq(torch.randn(3, 17, 6))
    x, mask = ROWS[rows]
    x = x.clone().requires_grad_()
    for _ in range(2):
        out = vq(x, mask)
        assert out.loss.isfinite()
        (out.quantized.square().sum() + out.loss).backward()
        assert x.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in vq.parameters())
