"""Stage-rescaled residual FSQ against its formula in NumPy, and against the library it is known from."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from vector_quantize_pytorch import ResidualFSQ as Peer

from codeword import FSQ, CodewordError, Residual, ResidualFSQ, disabled
from codeword.bounds import Cell

LEVELS = [(2,), (3, 2), (5, 3, 3), (8, 5, 5, 5)]
EXTREMES = [-1e6, -30.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 30.0, 1e6]


def vectors(levels: tuple[int, ...], count: int = 500) -> np.ndarray:
    spread = np.concatenate([np.random.default_rng(0).normal(0, 1, count), EXTREMES])
    return np.stack([np.roll(spread, 7 * i) for i in range(len(levels))], 1).astype(np.float32)


def bounded(z: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    reach = np.array(levels) / (np.array(levels) - 1)
    return np.tanh(z / reach) * reach


def formula(z: np.ndarray, levels: tuple[int, ...], stages: int) -> np.ndarray:
    level = np.array(levels, dtype=np.float64)
    left = bounded(z, levels)
    total = np.zeros_like(left)
    for stage in range(stages):
        size = level**-stage
        inside = np.clip(left / size, -1, 1)
        q = (2 / (level - 1) * np.floor((level - 1) * (inside + 1) / 2 + 0.5) - 1) * size
        total, left = total + q, left - q
    return total


@pytest.mark.parametrize("levels", LEVELS, ids=str)
def test_formula_and_error_bound(levels):
    z = vectors(levels)
    for stages in (1, 2, 3):
        rfsq = ResidualFSQ(len(levels), levels, stages)
        out = rfsq(torch.from_numpy(z))
        expected = formula(z.astype(np.float64), levels, stages)
        edge = np.array(levels, dtype=np.float64) ** (1 - stages) / (np.array(levels) - 1)
        error = np.abs(out.quantized.numpy() - bounded(z.astype(np.float64), levels))
        assert (error <= edge * (1 + 1e-4) + 1e-6).all()
        same = (
            np.abs(out.quantized.numpy() - expected) < 1e-5
        )  # but where a number is on the edge of two cells
        assert same.mean() > 0.99
        assert torch.equal(rfsq.decode(out.indices), out.quantized)
        assert out.loss == 0


@pytest.mark.parametrize("levels", LEVELS, ids=str)
@pytest.mark.parametrize("stages", [1, 2, 4])
def test_the_indices_and_values_are_those_of_vector_quantize_pytorch(levels, stages):
    peer = Peer(levels=list(levels), num_quantizers=stages).eval()
    ours = ResidualFSQ(len(levels), levels, stages).eval()
    z = torch.from_numpy(vectors(levels))
    expected, indices = peer(z[None])
    out = ours(z)
    assert torch.equal(out.indices, indices[0].long())
    torch.testing.assert_close(out.quantized, expected[0], atol=1e-6, rtol=0)
    prefix = peer.get_codes_from_indices(indices)[:1].sum(0)[0]
    torch.testing.assert_close(ours.decode(out.indices, stages=1), prefix, atol=1e-6, rtol=0)


def test_projections_are_those_of_vector_quantize_pytorch():
    peer = Peer(levels=[8, 5, 5], num_quantizers=3, dim=16).eval()
    ours = ResidualFSQ(16, (8, 5, 5), 3).eval()
    for name in ("project_in", "project_out"):
        getattr(ours, name).load_state_dict(getattr(peer, name).state_dict())
    z = torch.randn(300, 16)
    expected, indices = peer(z[None])
    out = ours(z)
    assert torch.equal(out.indices, indices[0].long())
    torch.testing.assert_close(out.quantized, expected[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("levels", "stages"), [((3,), 3), ((4, 3), 2), ((2, 2), 3)])
def test_every_sum_is_a_code_of_its_own_and_is_reached(levels, stages):
    """All index pairs decode to different vectors, evenly spaced, and an input near each of them is quantized to it."""
    rfsq = ResidualFSQ(len(levels), levels, stages).eval()
    every = torch.tensor(list(itertools.product(range(int(np.prod(levels))), repeat=stages)))
    codes = rfsq.decode(every)
    assert len(codes.unique(dim=0)) == len(every)
    for axis, level in enumerate(levels):
        ladder = np.unique(codes[:, axis].double().numpy().round(6))
        assert len(ladder) == level**stages
        np.testing.assert_allclose(np.diff(ladder), np.diff(ladder)[0], rtol=1e-4)
    reach = torch.tensor(levels) / (torch.tensor(levels) - 1)
    x = (codes.double() / reach).atanh() * reach
    assert torch.equal(rfsq.encode(x.float()), every)


def test_the_gradient_is_that_of_the_soft_bound_once():
    rfsq = ResidualFSQ(2, (5, 4), 6)
    x = torch.randn(50, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(rfsq(x).quantized.sum(), x)
    reach = torch.tensor([5 / 4, 4 / 3])
    torch.testing.assert_close(gradient, 1 - (x.detach() / reach).tanh().square())


def test_later_stages_are_of_use_which_those_of_a_plain_stack_are_not():
    x = torch.randn(4000, 4) / 2
    ours = ResidualFSQ(4, (5, 5, 5, 5), 3)
    plain = Residual([FSQ(4, (5, 5, 5, 5), bound=Cell()) for _ in range(3)])
    ours(x), plain(x)
    assert (ours.usage().perplexity[1:] > 300).all()
    assert (plain.usage().perplexity[1:] < 50).all()


def test_disabled_it_passes_vectors_as_they_are():
    rfsq = ResidualFSQ(2, (5, 4), 2)
    x = torch.randn(5, 2)
    with disabled(rfsq):
        assert torch.equal(rfsq(x).quantized, x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ResidualFSQ(2, (5, 4), 0), "stages of at least 1, but got 0"),
        (lambda: ResidualFSQ(2, (5, 1), 2), r"levels of at least 2, but got \(5, 1\)"),
        (lambda: Cell(-1), "stage of Cell of at least 0, but got -1"),
        (lambda: ResidualFSQ(2, (5, 4), 2).encode(torch.randn(3, 2), beam=2), "but got beam=2"),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()
