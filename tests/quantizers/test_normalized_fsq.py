"""FSQ of normalised numbers, and residual stages of it, against the formulas in float64 NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import codeword
from codeword import FSQ

LEVELS = (8, 5, 4)


def rows(seed: int, count: int = 200) -> torch.Tensor:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return x * torch.tensor([0.01, 1.0, 30.0]) + torch.tensor([5.0, 0.0, -70.0])


def fsq(numbers: np.ndarray) -> np.ndarray:
    """The paper's: round(tanh(z + s) h - o) / floor(L / 2)."""
    levels = np.array(LEVELS)
    half = (levels - 1) * (1 - 1e-3) / 2
    offset = np.where(levels % 2 == 0, 0.5, 0.0)
    bounded = np.tanh(numbers + np.tan(offset / half)) * half - offset
    return np.round(bounded) / (levels // 2)


def test_the_averages_begin_with_the_first_batch():
    quantizer = FSQ(3, LEVELS, normalize=True)
    batches = [rows(seed).double().numpy() for seed in range(4)]
    mean, variance = batches[0].mean(0), batches[0].var(0)
    for batch in batches:
        quantizer(torch.from_numpy(batch).float())
        mean = 0.95 * mean + 0.05 * batch.mean(0)
        variance = 0.95 * variance + 0.05 * batch.var(0)
    np.testing.assert_allclose(quantizer.grid.moments.mean.numpy(), mean, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(quantizer.grid.moments.variance.numpy(), variance, rtol=1e-3)


def test_stages_normalize_what_is_left_over():
    stack = codeword.from_spec("rvq3x(fsq8-5-4,normalize=true)", features=3)
    for seed in range(8):
        stack(rows(seed))
    stack.eval()
    x = rows(99)
    left, total = x.double().numpy(), np.zeros((len(x), 3))
    for stage in stack.components:
        mean = stage.grid.moments.mean.double().numpy()
        deviation = stage.grid.moments.variance.double().sqrt().numpy()
        q = mean + deviation * fsq((left - mean) / deviation)
        left, total = left - q, total + q
    found = stack(x).quantized.double().numpy()
    same = np.isclose(found, total, rtol=1e-4, atol=1e-4).all(1)  # others lie on the border of two levels
    assert same.mean() > 0.98


def test_later_stages_have_something_to_say_whatever_the_scale():
    plain, normal = (
        codeword.from_spec(f"rvq3x(fsq5-5-5{option})", features=3) for option in ("", ",normalize=true")
    )
    for seed in range(20):
        plain(rows(seed))
        normal(rows(seed))
    x, errors = rows(99), []
    for stages in (1, 2, 3):
        out = normal.eval()(x, stages=stages).quantized
        errors.append(float(((out - x) / x.std(0)).square().mean()))
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.7 * errors[1]
    lost = float(((plain.eval()(x).quantized - x) / x.std(0)).square().mean())
    assert errors[2] < 0.1 * lost


def test_the_gradient_is_that_of_the_bound_at_the_normalised_number():
    quantizer = FSQ(3, LEVELS, normalize=True)
    quantizer(rows(0))
    quantizer.eval()
    x = rows(1).requires_grad_()
    (found,) = torch.autograd.grad(quantizer(x).quantized.sum(), x)
    numbers = quantizer.grid.normalize(x.detach()).double().numpy()
    levels = np.array(LEVELS)
    half = (levels - 1) * (1 - 1e-3) / 2
    shift = np.tan(np.where(levels % 2 == 0, 0.5, 0.0) / half)
    expected = (1 - np.tanh(numbers + shift) ** 2) * half / (levels // 2)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_freezing_stops_the_averages_and_is_saved():
    quantizer = FSQ(3, LEVELS, normalize=True)
    quantizer(rows(0))
    codeword.freeze(quantizer)
    before = quantizer.grid.moments.mean.clone()
    quantizer(rows(1) + 5)
    assert torch.equal(quantizer.grid.moments.mean, before)
    assert int(quantizer.grid.usage_count.sum()) == 400
    again = FSQ(3, LEVELS, normalize=True)
    again.load_state_dict(quantizer.state_dict())
    assert again.grid.frozen
    codeword.freeze(again, False)
    again(rows(1) + 5)
    assert not torch.equal(again.grid.moments.mean, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_averages_keep_float32(dtype):
    quantizer = FSQ(3, LEVELS, normalize=True).to(dtype)
    assert quantizer.grid.moments.mean.dtype == torch.float32
    out = quantizer(rows(0).to(dtype))
    assert out.quantized.dtype == dtype
    assert math.isfinite(float(out.quantized.float().square().mean()))
