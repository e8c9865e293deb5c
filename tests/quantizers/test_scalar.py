"""FSQ against the papers' formulas in NumPy, for all small level sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from codeword import FSQ, CodewordError, Commitment, from_spec
from codeword.bounds import Cauchy, Clamp, Gaussian, Laplacian, Logistic, Sigmoid, Symmetric, Tanh
from codeword.penalties import Moments

LEVELS = [(2,), (3,), (8,), (5, 3), (2, 2, 2), (4, 3, 2), (8, 5, 5), (7, 6)]
EXTREMES = [-1e6, -30.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 30.0, 1e6]


def paper(z: np.ndarray, levels: tuple[int, ...], squash=np.tanh, steepness: float = 1.0) -> np.ndarray:
    """The published code of FSQ: bound, round, divide by half the width."""
    level = np.array(levels)
    half = (level - 1) * (1 - 1e-3) / 2
    offset = np.where(level % 2 == 1, 0.0, 0.5)
    shift = np.tan(offset / half) / steepness
    bounded = squash(z + shift) * half - offset
    return np.round(bounded) / (level // 2)


def ifsq(z: np.ndarray) -> np.ndarray:
    return 2 / (1 + np.exp(-1.6 * np.clip(z, -300, 300))) - 1


def symmetric(z: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    level = np.array(levels)
    return 2 / (level - 1) * np.floor((level - 1) * (np.tanh(z) + 1) / 2 + 0.5) - 1


def clamped(z: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    level = np.array(levels)
    half, offset = (level - 1) * 1.001 / 2, (1 - level % 2) / 2
    return np.round(np.clip(z + offset / half, -1, 1) * half - offset) / (level // 2)


FORMULAS = {
    "clamp": (Clamp(), clamped),
    "tanh": (Tanh(), paper),
    "sigmoid": (Sigmoid(), lambda z, levels: paper(z, levels, ifsq, 0.8)),
    "symmetric": (Symmetric(), symmetric),
}


@pytest.mark.parametrize("levels", LEVELS, ids=str)
@pytest.mark.parametrize("bound", FORMULAS)
def test_formula(levels, bound):
    part, formula = FORMULAS[bound]
    fsq = FSQ(len(levels), levels, bound=part)
    spread = np.concatenate([np.random.default_rng(0).normal(0, 2, 500), EXTREMES])
    z = np.stack([np.roll(spread, 7 * i) for i in range(len(levels))], 1).astype(np.float32)
    out = fsq(torch.from_numpy(z))
    np.testing.assert_allclose(out.quantized.numpy(), formula(z.astype(np.float64), levels), atol=1e-6)
    assert out.quantized.abs().max() <= 1
    assert out.loss == 0
    assert torch.equal(fsq.decode(out.indices), out.quantized)


@pytest.mark.parametrize("levels", LEVELS, ids=str)
@pytest.mark.parametrize("bound", FORMULAS)
def test_every_code_is_reached_and_numbered_once(levels, bound):
    part, _ = FORMULAS[bound]
    fsq = FSQ(len(levels), levels, bound=part)
    size = int(np.prod(levels))
    codes = fsq.decode(torch.arange(size))
    assert len(codes.unique(dim=0)) == size
    ladder = torch.linspace(-8, 8, 4001)
    for axis, level in enumerate(levels):  # every level of every axis is taken by some number
        z = torch.zeros(4001, len(levels))
        z[:, axis] = ladder
        taken = fsq(z).quantized[:, axis].unique()
        assert torch.equal(taken, codes[:, axis].unique())
        assert len(taken) == level
    order = itertools.product(*(range(level) for level in reversed(levels)))  # the first digit turns fastest
    for index, digits in enumerate(order):
        expected = [codes[:, a].unique()[d] for a, d in enumerate(reversed(digits))]
        assert torch.equal(codes[index], torch.stack(expected))


@pytest.mark.parametrize("bound", FORMULAS)
def test_the_gradient_is_that_of_the_bound(bound):
    part, _ = FORMULAS[bound]
    fsq = FSQ(2, (5, 4), bound=part)
    x = torch.randn(50, 2, dtype=torch.float64).float().requires_grad_()
    (gradient,) = torch.autograd.grad(fsq(x).quantized.sum(), x)
    step = 1e-3

    def soft(z: torch.Tensor) -> torch.Tensor:
        return part.value(part.place(z.double(), fsq.levels), fsq.levels)

    ahead, here, behind = (soft(x.detach() + moved) for moved in (step, 0, -step))
    smooth = (ahead - 2 * here + behind).abs() < 2e-3 * step  # a clamp has no slope at its corners
    assert smooth.double().mean() > 0.9
    slope = (ahead - behind) / (2 * step)
    torch.testing.assert_close(gradient.double()[smooth], slope[smooth], atol=1e-3, rtol=1e-3)


def test_noise_moves_a_share_of_the_vectors_within_a_level():
    torch.manual_seed(0)
    fsq = FSQ(3, (5, 5, 5), bound=Symmetric(), noise=0.3)
    x = torch.randn(4000, 3).requires_grad_()
    out = fsq(x)
    rounded = fsq.decode(out.indices)
    moved = (out.quantized != rounded).any(-1)
    assert moved.float().mean() == pytest.approx(0.3, abs=0.03)
    soft = x.detach().tanh()
    difference = (out.quantized - soft)[moved] * 2  # in levels, of which there are 4 steps in -1 to 1
    assert difference.abs().max() <= 0.5 + 1e-5
    assert float(difference.detach().std()) == pytest.approx(12**-0.5, rel=0.05)
    (gradient,) = torch.autograd.grad(out.quantized.sum(), x)
    torch.testing.assert_close(gradient, 1 - soft.square())
    assert torch.equal(fsq.eval()(x).quantized, fsq.decode(fsq.encode(x)))


def test_penalties_are_in_the_loss():
    fsq = from_spec("fsq5-5-5,gaussian,moments(weight=0.5),noise=1.0", features=3)
    x = 2 + 3 * torch.randn(200, 3)
    mask = torch.arange(200) < 150
    out = fsq(x, mask)
    v, m = x[:150].var(0), x[:150].mean(0)
    expected = (m**2 + 0.7 * (v - 1) ** 2).mean()
    torch.testing.assert_close(out.losses["moments"], expected)
    torch.testing.assert_close(out.loss, 0.5 * expected)
    assert from_spec(fsq.spec, features=3).penalties == (Moments(0.5),)


def test_large_grids_report_their_levels():
    small, large = FSQ(2, (5, 4)), FSQ(8, (16,) * 7 + (3,))
    x = torch.randn(1000, 8)
    small(x[:, :2])
    large(x)
    assert small.usage().used.shape == ()
    assert small.usage().used + small.usage().dead == 20
    usage = large.usage()
    assert torch.equal(usage.used + usage.dead, torch.tensor([16] * 7 + [3]))
    assert (usage.dead >= 0).all()
    digits = large.grid.split(large.encode(x))
    for axis in range(8):
        assert usage.used[axis] == len(digits[:, axis].unique())
    assert sum(value.numel() for value in large.state_dict().values()) < 1000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FSQ(2, ()), r"levels of at least 2, but got \(\)"),
        (lambda: FSQ(2, (5, 1)), r"levels of at least 2, but got \(5, 1\)"),
        (lambda: FSQ(2, (5, 5), noise=2.0), "noise from 0 to 1, but got 2.0"),
        (lambda: FSQ(2, (5, 5), bound=torch.tanh), "a part for bound"),
        (lambda: FSQ(2, (5, 5), penalties=(Commitment(),)), "about the vectors alone, but got Commitment"),
        (lambda: FSQ(16, (16,) * 16), r"at most 2\^63 codes, but got 2\^64.0"),
        (lambda: FSQ(2, (5, 5)).decode(torch.tensor([25])), "indices from 0 to 24 .* but got 25"),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()


def test_levels_that_are_no_index():
    """An index for each number: any product of levels will do."""
    torch.manual_seed(0)
    huge, small = FSQ(40, (16,) * 40, joined=False), FSQ(3, (8, 5, 4), joined=False)
    out = huge(torch.randn(2, 5, 40))
    assert out.indices.shape == (2, 5, 40)
    assert torch.equal(huge.decode(out.indices), out.quantized)
    assert huge.codebook_sizes == (16,) * 40
    assert huge.usage().used.shape == (40,)
    x = torch.randn(50, 3)
    joined = FSQ(3, (8, 5, 4))
    digits, index = small(x).indices, joined(x).indices
    assert torch.equal((digits * torch.tensor([1, 8, 40])).sum(-1), index)
    assert torch.equal(small(x).quantized, joined(x).quantized)
    with pytest.raises(CodewordError, match="0 to 4, but got 7|but got 7"):
        small.decode(torch.tensor([[0, 7, 0]]))
    with pytest.raises(CodewordError, match=r"digits \(..., 3\)"):
        small.decode(torch.tensor([[0, 1]]))
    with pytest.raises(CodewordError, match="joined=False"):
        FSQ(40, (16,) * 40)


DISTRIBUTIONS = {
    "gaussian": (Gaussian, torch.distributions.Normal),
    "laplacian": (Laplacian, torch.distributions.Laplace),
    "cauchy": (Cauchy, torch.distributions.Cauchy),
    "logistic": (
        Logistic,
        lambda at, scale: torch.distributions.TransformedDistribution(
            torch.distributions.Uniform(0.0, 1.0),
            [
                torch.distributions.SigmoidTransform().inv,
                torch.distributions.AffineTransform(at, scale),
            ],
        ),
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_levels_of_quantiles_are_even_in_probability(name):
    part, distribution = DISTRIBUTIONS[name]
    levels, own = (8, 5), distribution(0.0, 0.7)
    z = own.sample((40000, 2))
    z = z.reshape(40000, 2)
    out, digits = FSQ(2, levels, bound=part(0.7)), own.cdf(z)
    expected = (digits * torch.tensor(levels)).floor().clamp_max(torch.tensor(levels) - 1.0)
    found = out(z)
    value = 3**0.5 * (2 * (expected + 0.5) / torch.tensor(levels) - 1)
    assert float(((found.quantized - value).abs() > 1e-4).float().mean()) < 1e-3  # at the edges of levels
    for axis, level in enumerate(levels):
        share = expected[:, axis].long().bincount() / len(z)
        assert (share - 1 / level).abs().max() < 0.01
    back = FSQ(2, levels, bound=part(0.7, inverse=True))(z).quantized
    middle = own.icdf((expected + 0.5) / torch.tensor(levels))
    assert float(((back - middle).abs() > 1e-3).float().mean()) < 1e-3
    with pytest.raises(CodewordError, match="scale of"):
        part(0.0)
