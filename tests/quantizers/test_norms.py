"""Norms in front of a quantizer, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codeword
from codeword.quantizers.norms import MaxNormFeatures, UnitFeatures


@pytest.mark.parametrize("dim", [-1, 1])
def test_against_numpy(dim):
    x = 3 * torch.randn(5, 4, 7, generator=torch.Generator().manual_seed(0))
    length = np.linalg.norm(x.double().numpy(), axis=dim, keepdims=True)
    np.testing.assert_allclose(UnitFeatures(dim)(x).numpy(), x.numpy() / length, rtol=1e-5)
    capped = x.numpy() * np.minimum(length, 4.0) / length
    np.testing.assert_allclose(MaxNormFeatures(4.0, dim)(x).numpy(), capped, rtol=1e-5)


def test_zeros_are_finite_with_gradient():
    x = torch.zeros(2, 3, requires_grad=True)
    (UnitFeatures()(x) + MaxNormFeatures()(x)).sum().backward()
    assert x.grad.isfinite().all()


def test_limit():
    with pytest.raises(codeword.CodewordError, match="a limit above 0"):
        MaxNormFeatures(0.0)
