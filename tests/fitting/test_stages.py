"""Stages fitted to what partial sums leave over: the sums by brute force, and the judging by vectors left out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from codeword import CodewordError, fit
from codeword.fitting.refine import Vectors
from codeword.fitting.stages import _weights, split
from codeword.functional import PrincipalComponents
from codeword.functional.kmeans import draw_rows
from codeword.quantizers.composite.beam import continued


@pytest.mark.parametrize("beam", [1, 3])
def test_the_best_partial_sums_are_those_of_brute_force(beam: int):
    draw = torch.Generator().manual_seed(0)
    left, codes = torch.randn(50, beam, 4, generator=draw), torch.randn(6, 4, generator=draw)
    found = continued(left, codes, beam).numpy()
    for own, kept in zip(left.double().numpy(), found, strict=True):
        every = [row - code for row, code in product(own, codes.double().numpy())]
        best = sorted(every, key=lambda rest: (rest**2).sum())[:beam]
        np.testing.assert_allclose(kept, best, atol=1e-5)


def test_drawn_rows_are_different_and_keep_their_weights():
    rows = torch.arange(40.0)[:, None].expand(-1, 2).clone()
    rows[7, 1] = torch.nan
    weights = torch.arange(40.0)
    drawn, own = draw_rows([rows[:25], rows[25:]], 30, weights, seed=1)
    assert own is not None
    assert torch.equal(drawn[:, 0], own.to(drawn.dtype))
    assert len(drawn[:, 0].unique()) == 30
    assert not set(drawn[:, 0].tolist()) & {0.0, 7.0}
    everything, none = draw_rows([rows], 100)
    assert none is None
    assert everything[:, 0].sort().values.tolist() == [n for n in range(40) if n != 7]


def test_vectors_left_out_are_not_fitted_to_and_too_few_are_not_left_out():
    vectors = Vectors(torch.arange(1000.0)[:, None], torch.arange(1000.0))
    fitted, judges = split(vectors, 0.1, 256)
    assert len(judges.rows) == 100
    assert torch.equal(torch.cat([judges.rows, fitted.rows]), vectors.rows)
    assert torch.equal(fitted.weights, fitted.rows[:, 0])
    for few in (split(vectors, 0.01, 256), split(vectors, 0.9, 256), split(vectors, 0.0, 256)):
        assert few == (vectors, vectors)


def test_other_rows_along_the_same_axes():
    draw = torch.Generator().manual_seed(0)
    components = PrincipalComponents([torch.randn(200, 5, generator=draw)])
    other = torch.randn(100, 5, generator=draw) * torch.tensor([1.0, 9.0, 3.0, 5.0, 7.0]) + 2
    along = components.of(other)
    (turned,) = along.leading(5)
    assert bool((turned.var(0).diff() <= 1e-4).all())
    torch.testing.assert_close(along.rows(turned), other)


@pytest.mark.slow
def test_with_few_vectors_per_code_stages_are_better_where_vectors_left_out_judge():
    x = torch.from_numpy(load_digits().data).float()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]

    def error(held_out: float) -> float:
        quantizer = fit(x[:1500], "rvq4x256", beam=5, held_out=held_out, steps=20)
        return float((quantizer.decode(quantizer.encode(x[1500:], beam=5)) - x[1500:]).square().mean())

    assert error(0.05) < 0.95 * error(0)


@pytest.mark.parametrize("held_out", [-0.1, 1.0])
def test_a_share_that_is_none(held_out: float):
    with pytest.raises(CodewordError, match="held_out from 0 to below 1"):
        fit(torch.randn(100, 2), "rvq2x4", held_out=held_out)


@pytest.mark.parametrize("power", [1, 6])
def test_partial_sums_weigh_less_the_larger_their_errors_are(power: int):
    residuals = torch.randn(100, 5, 8, generator=torch.Generator().manual_seed(0))
    residuals[0], residuals[1, 2] = 0, 0  # errors of 0: of all partial sums of a vector, and of one
    errors = (residuals.double().numpy() ** 2).sum(-1)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(errors.min(1, keepdims=True) / errors, nan=1.0) ** power
    assert 0 < (expected < 0.02).sum() < expected.size / 2
    np.testing.assert_allclose(_weights(residuals, power), np.where(expected < 0.02, 0, expected), rtol=1e-6)
