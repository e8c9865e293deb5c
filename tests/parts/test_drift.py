"""Codes that follow the drift of those that were chosen, against least squares in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import EMA, VectorQuantizer
from codeword.functional.drift import drifted


def test_the_map_is_that_of_least_squares_with_rows_that_rest():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(20, 3, generator=generator) + 4
    chosen = torch.randint(15, (60,), generator=generator)  # five codes are never chosen
    rows = codes[chosen] @ torch.randn(3, 3, generator=generator) + torch.randn(60, 3, generator=generator)
    counts = torch.bincount(chosen, minlength=20).float()
    sums = torch.zeros(20, 3).index_add(0, chosen, rows)
    moved = drifted(codes, counts, sums, torch.tensor(60))

    c, x = codes.double().numpy(), rows.double().numpy()
    picked = c[chosen.numpy()]
    mean = picked.mean(0)
    # D = 3 rows more: for A along each axis with the mean standard deviation, for b at the mean, all without a move
    deviation = np.sqrt(((picked - mean) ** 2).mean() * 3)
    of = np.vstack([picked - mean, deviation * np.eye(3)])
    turn = np.linalg.lstsq(of, np.vstack([x - picked, np.zeros((3, 3))]), rcond=None)[0]
    shift = (x - picked).sum(0) / (60 + 3)
    np.testing.assert_allclose(moved, c + (c - mean) @ turn + shift, rtol=1e-4, atol=1e-4)


def test_without_rows_nothing_moves():
    codes = torch.randn(7, 3)
    assert torch.equal(drifted(codes, torch.zeros(7), torch.zeros(7, 3), torch.tensor(0)), codes)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_unchosen_codes_follow_rows_that_move_and_grow(scale):
    torch.manual_seed(0)
    rows = torch.randn(4096, 4)
    errors = {}
    for drift in (False, True):
        vq = VectorQuantizer(4, 512, update=EMA(decay=0.9, revival=None, drift=drift))
        for step in range(20):
            vq(scale * (1 + 0.1 * step) * (rows[step * 100 : step * 100 + 100] + 0.1 * step))
        end = scale * 3 * (rows[2000:] + 2)
        errors[drift] = float((vq.eval()(end).quantized - end).square().mean() / end.var())
    assert errors[True] < errors[False] / 3
