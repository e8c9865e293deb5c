"""P1: the default layer keeps using its codes, on data that makes others collapse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from codeword import VectorQuantizer
from codeword.functional import usage

FEATURES, CODES, ROWS, STEPS = 8, 256, 1024, 600


def normal(step: int, rows: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, FEATURES, generator=generator)


def shifted(step: int, rows: int, generator: torch.Generator) -> Tensor:
    return normal(step, rows, generator) + 5


def drifting(step: int, rows: int, generator: torch.Generator) -> Tensor:
    return normal(step, rows, generator) + 5 * step / STEPS  # every feature


def many_modes(step: int, rows: int, generator: torch.Generator) -> Tensor:
    modes = 10 * torch.randn(16, FEATURES, generator=torch.Generator().manual_seed(99))
    return modes[torch.randint(16, (rows,), generator=generator)] + normal(step, rows, generator)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize(
    ("cloud", "error"), [(normal, 0.33), (shifted, 0.33), (drifting, 0.34), (many_modes, 0.006)]
)
def test_default_layer_fits_and_uses_its_codes(cloud, error, scale):
    torch.manual_seed(3)
    generator = torch.Generator().manual_seed(4)
    vq = VectorQuantizer(FEATURES, CODES)
    for step in range(STEPS):
        vq(scale * cloud(step, ROWS, generator))
    x = scale * cloud(STEPS, 8192, generator)
    out = vq.eval()(x)
    relative = (out.quantized - x).square().mean() / (x - x.mean(0)).square().mean()
    assert relative <= error
    assert usage(out.indices, CODES).used >= 0.99 * CODES


def test_codes_that_start_far_away_are_revived():
    torch.manual_seed(0)
    vq = VectorQuantizer(FEATURES, 64).train()
    vq(torch.randn(1000, FEATURES) + 100)
    for _ in range(200):
        vq(torch.randn(1000, FEATURES))
    vq.reset_usage()
    for _ in range(10):
        vq(torch.randn(1000, FEATURES))
    assert vq.usage().used >= 63


def test_more_codes_than_rows_follow_an_encoder_that_opens_up():
    torch.manual_seed(0)
    vq = VectorQuantizer(FEATURES, 1024)
    for step in range(300):
        vq(min(1.0, 0.01 + step / 50) * torch.randn(128, FEATURES))
    x = torch.randn(8192, FEATURES)
    out = vq.eval()(x)
    assert (
        out.quantized - x
    ).square().mean() <= 0.26  # what as many codes leave that are drawn from the same cloud
    assert usage(out.indices, 1024).used >= 970
