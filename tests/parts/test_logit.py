"""FSQ with the bound Logit, against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import FSQ, CodewordError
from codeword.bounds import Logit

LEVELS = np.array([8, 5, 12])


@pytest.mark.parametrize("eps", [0.1, 0.01])
def test_levels_values_and_gradients_follow_the_formula(eps):
    torch.manual_seed(0)
    x = (3 * torch.randn(40, 3)).requires_grad_()
    cotangent = torch.randn(40, 3)
    out = FSQ(3, tuple(LEVELS.tolist()), bound=Logit(eps))(x)
    (out.quantized * cotangent).sum().backward()

    share = 1 / (1 + np.exp(-x.detach().double().numpy()))
    level = np.round(share * LEVELS - 0.5)
    kept = np.clip(level / (LEVELS - 1), eps, 1 - eps)
    inside = kept == level / (LEVELS - 1)
    slope = inside / (kept * (1 - kept)) * share * (1 - share)
    np.testing.assert_array_equal(out.indices, level @ [1, 8, 40])
    np.testing.assert_allclose(out.quantized.detach(), np.log(kept / (1 - kept)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.grad, cotangent.numpy() * slope, rtol=1e-4, atol=1e-6)


def test_levels_share_the_probability_evenly():
    torch.manual_seed(0)
    fsq = FSQ(1, (4,), bound=Logit())
    fsq(torch.distributions.Uniform(0, 1).sample((40000, 1)).logit())
    shares = fsq.grid.usage_count / 40000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.01, rtol=0)


def test_extreme_numbers_have_the_outermost_levels():
    assert FSQ(1, (6,), bound=Logit()).encode(torch.tensor([[-1e4], [0.0], [1e4]])).tolist() == [0, 2, 5]


@pytest.mark.parametrize("eps", [0.0, 0.5, -1.0])
def test_other_eps_is_refused(eps):
    with pytest.raises(CodewordError, match="eps of Logit"):
        Logit(eps)
