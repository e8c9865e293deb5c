"""The squared error against NumPy and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword.functional import Valid, squared_error


@pytest.mark.parametrize("mask", [[True] * 5, [True, False, True, False, False], [False] * 5])
def test_value_and_gradients(mask):
    torch.manual_seed(0)
    rows = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weights = Valid.of(torch.tensor(mask)).weights(torch.float64)
    kept = np.array(mask)
    difference = (rows.detach().numpy() - targets.detach().numpy())[kept]
    expected = (difference**2).mean() if kept.any() else 0.0
    assert squared_error(rows, targets, weights).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda a, b: squared_error(a, b, weights), (rows, targets))
    assert torch.autograd.gradgradcheck(lambda a, b: squared_error(a, b, weights), (rows, targets))


def test_only_what_is_asked_for_gets_a_gradient():
    rows, targets = torch.randn(4, 2, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    squared_error(rows, targets.detach(), torch.full((4,), 0.25)).backward()
    assert rows.grad is not None
    assert targets.grad is None


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within torch.func.jvp
def test_torch_func_sees_it_and_forward_derivatives_are_right():
    rows = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    weights = Valid.of(torch.tensor([True, False, True, True])).weights(torch.float64)
    both = (rows, targets)
    assert torch.autograd.gradcheck(lambda a, b: squared_error(a, b, weights), both, check_forward_ad=True)
    error = torch.func.grad(lambda a: squared_error(a, targets.detach(), weights))(rows.detach())
    assert torch.allclose(error, torch.autograd.grad(squared_error(rows, targets, weights), rows)[0])
    stacks = torch.stack([rows, 2 * rows]).detach()
    each = torch.func.vmap(lambda a: squared_error(a, targets.detach(), weights))(stacks)
    assert torch.allclose(each, torch.stack([squared_error(a, targets, weights) for a in stacks]))
