"""The value of one, the gradient of the other."""

from __future__ import annotations

import pytest
import torch

from codeword.functional import replace_gradient


def test_value_is_exact_where_the_usual_form_rounds():
    torch.manual_seed(0)
    x, q = 100 * torch.randn(1000), torch.randn(1000)
    assert torch.equal(replace_gradient(q, x), q)
    assert not torch.equal(x + (q - x).detach(), q)


def test_gradient_goes_to_the_surrogate_alone():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    q = torch.randn(5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(5, dtype=torch.float64)
    (replace_gradient(q, x.sin()) * weights).sum().backward()
    assert torch.allclose(x.grad, weights * x.detach().cos())
    assert q.grad is None


def test_twice_differentiable():
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: replace_gradient(torch.ones(4).double(), x.sin()), x)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within torch.func.jvp
def test_torch_func_sees_the_value_and_the_gradient():
    x, tangent = torch.randn(3, 4), torch.randn(3, 4)
    value, change = torch.func.jvp(lambda x: replace_gradient(x.round(), 2 * x), (x,), (tangent,))
    assert torch.equal(value, x.round())
    assert torch.equal(change, 2 * tangent)
    assert torch.equal(torch.func.vmap(lambda x: replace_gradient(x.round(), x))(x), x.round())
    assert torch.equal(
        torch.func.grad(lambda x: replace_gradient(x.round(), 2 * x).sum())(x), torch.full((3, 4), 2.0)
    )
