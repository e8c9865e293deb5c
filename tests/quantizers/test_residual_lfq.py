"""Residual LFQ against the digits of numbers in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codeword
from codeword import CodewordError
from codeword.quantizers import ResidualLFQ


def digits(x: np.ndarray, stages: int) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the stages and the index of each, most significant bit first."""
    total, indices = np.zeros_like(x), []
    for stage in range(stages):
        up = x - total > 0
        total = total + np.where(up, 1.0, -1.0) * 2.0**-stage
        indices.append(up @ (2 ** np.arange(x.shape[1])[::-1]))
    return total, np.stack(indices, 1)


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_stages_are_binary_digits(stages):
    x = np.random.default_rng(0).uniform(-2, 2, (500, 6))
    rlfq = ResidualLFQ(6, 6, stages)
    out = rlfq(torch.from_numpy(x).float())
    total, indices = digits(x.astype(np.float32).astype(np.float64), stages)
    np.testing.assert_array_equal(out.indices.numpy(), indices)
    np.testing.assert_array_equal(out.quantized.numpy(), total)
    assert np.abs(total - x).max() <= 2.0 ** (1 - stages) + 1e-6
    assert torch.equal(rlfq.decode(out.indices), out.quantized)
    assert torch.equal(rlfq.decode(out.indices[:, :1]), rlfq.decode(out.indices, stages=1))


def test_losses_are_means_over_stages_at_their_scales():
    x = torch.randn(200, 4, dtype=torch.float64).float()
    out = ResidualLFQ(4, 4, 3, commitment=0.5, entropy=0.0)(x)
    left, errors = x.double(), []
    for stage in range(3):
        q = torch.where(left > 0, 1.0, -1.0).double() * 2.0**-stage
        errors.append((left - q).square().mean())
        left = left - q
    expected = torch.stack(errors).mean()
    torch.testing.assert_close(out.losses["commitment"].double(), expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(out.loss.double(), 0.5 * expected, rtol=1e-5, atol=1e-7)


def test_the_number_of_stages_that_stay_is_rounded_up():
    rlfq = ResidualLFQ(3, 3, 7, dropout=1.0, dropout_multiple=3)
    kept = (rlfq(torch.randn(200, 2, 3)).indices >= 0).sum(-1)
    assert kept.unique().tolist() == [3, 6, 7]
    assert codeword.from_spec(rlfq.spec, features=3).spec == rlfq.spec


def test_its_spec_builds_it():
    rlfq = codeword.from_spec("rlfq5,stages=3,dropout=0.5,commitment=0.0", features=8)
    assert isinstance(rlfq, ResidualLFQ)
    assert (rlfq.count, rlfq.project_in.out_features) == (3, 5)
    assert codeword.from_spec(rlfq.spec, features=8).spec == rlfq.spec
    with pytest.raises(CodewordError, match="1 to 63 bits"):
        codeword.from_spec("rlfq64,stages=2", features=8)
