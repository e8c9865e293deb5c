"""Transforms against NumPy: their maps, their starts, their running moments, and what of them learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from codeword import EMA, CodewordError, Commitment, VectorQuantizer
from codeword.codebooks import Codebook
from codeword.estimators import Directional
from codeword.functional import Key, Valid
from codeword.inits import Normal
from codeword.penalties import CodebookLoss
from codeword.revivals import Stale
from codeword.transforms import (
    Affine,
    Bridge,
    CodeGamma,
    Gamma,
    LearnedSpread,
    Linear,
    MaxNorm,
    RunningAffine,
    SpaceFilling,
    UnitNorm,
)
from codeword.updates import Frozen, Gradient
from distances import squared_distances

CODES, FEATURES = 9, 4
BOTH = (Commitment(), CodebookLoss())


def data(seed: int = 0, rows: int = 300) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.tensor(
        [[2.0, 0.3, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [1.0, 0.0, 1.0, 0.2], [0.0, 0.0, 0.0, 0.1]]
    )
    return torch.randn(rows, FEATURES, generator=generator) @ mix + torch.tensor([5.0, -3.0, 0.0, 1.0])


def built(transform, codes: int = CODES) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    module = transform.build(codes, FEATURES)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module, torch.randn(codes, FEATURES)


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def network(layers: torch.nn.Sequential, x: np.ndarray) -> np.ndarray:
    for layer in layers:
        if isinstance(layer, torch.nn.ELU):
            x = elu(x)
        else:
            x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
    return x


def test_affine_by_groups():
    module, codes = built(Affine(rate=3.0, groups=2))
    c, s, b = (v.detach().numpy() for v in (codes, module.scale, module.bias))
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(
        module(codes).detach().numpy(), (1 + 3 * s[groups]) * c + 3 * b[groups], rtol=1e-5, atol=1e-6
    )
    assert torch.equal(Affine().build(CODES, FEATURES)(codes), codes)  # nothing at the start


def test_running_affine_takes_the_moments_of_the_rows():
    vq = VectorQuantizer(FEATURES, CODES, update=Frozen(Normal(), RunningAffine(0.25)))
    mean = spread = None
    for step in range(5):
        x = data(step).double().numpy() * (1 + step)
        vq(torch.from_numpy(x).float())
        first = mean is None
        mean = x.mean(0) if first else 0.75 * mean + 0.25 * x.mean(0)
        spread = x.var(0) if first else 0.75 * spread + 0.25 * x.var(0)
        found = vq.codebook.searched().double().numpy()
        np.testing.assert_allclose(found.mean(0), mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.var(0), spread, rtol=1e-3)
    before = vq.codebook.transform.rows.mean.clone()
    vq(torch.zeros(5, FEATURES), torch.zeros(5, dtype=torch.bool))
    vq.eval()(data(9))
    assert torch.equal(vq.codebook.transform.rows.mean, before)


def test_running_moments_of_rows_far_from_the_origin():
    vq = VectorQuantizer(FEATURES, CODES, update=Frozen(Normal(), RunningAffine()))
    for step in range(20):
        vq(data(step) + 10_000)
    np.testing.assert_allclose(
        vq.codebook.transform.rows.variance.numpy(), data(rows=100_000).var(0).numpy(), rtol=0.2
    )


def test_linear_starts_at_the_moments_of_the_rows():
    x = data(rows=5000)
    vq = VectorQuantizer(FEATURES, 500, update=Frozen(Normal(), Linear()), penalties=BOTH)
    vq(x)
    found = vq.codebook.searched().detach().double().numpy()
    np.testing.assert_allclose(found.mean(0), x.double().numpy().mean(0), atol=1e-4)
    np.testing.assert_allclose(np.cov(found.T), np.cov(x.double().numpy().T), atol=0.02)
    weight, bias = vq.codebook.transform.weight.detach(), vq.codebook.transform.bias.detach()
    torch.testing.assert_close(vq.codebook.searched().detach(), vq.codebook.codes @ weight.T + bias)


def test_linear_start_with_few_rows_or_codes_is_finite():
    for codes, rows in ((1, 50), (2, 50), (50, 1), (50, 3)):
        vq = VectorQuantizer(FEATURES, codes, update=Frozen(Normal(), Linear()), penalties=BOTH)
        out = vq(data(rows=rows))
        assert out.quantized.isfinite().all()


def test_linear_moves_every_code_and_no_kept_one():
    vq = VectorQuantizer(FEATURES, 50, update=Frozen(Normal(), Linear()), penalties=BOTH)
    vq(data())
    kept, before = vq.codebook.codes.clone(), vq.codebook.searched().detach()
    optimiser = torch.optim.SGD(vq.parameters(), 0.1)
    vq(data()[:2]).loss.backward()
    optimiser.step()
    assert torch.equal(vq.codebook.codes, kept)
    assert (vq.codebook.searched() != before).any(1).all()


def test_bridge_is_a_transformer_over_the_codes():
    module, codes = built(Bridge(width=6, depth=2, heads=3, patch=2))
    layers = {name: value.detach().double().numpy() for name, value in module.named_parameters()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ layers[f"{name}.weight"].T + layers[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        off = x - x.mean(-1, keepdims=True)
        scaled = off / np.sqrt((off**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * layers[f"{name}.weight"] + layers[f"{name}.bias"]

    c = codes.double().numpy()
    tokens = linear("compress", np.concatenate([c, np.zeros((1, FEATURES))]).reshape(5, 2 * FEATURES))
    for block in ("process.0.", "process.1."):
        query, key, value = np.split(linear(block + "attend", norm(block + "norm", tokens)), 3, 1)
        heads = []
        for head in range(3):
            own = slice(2 * head, 2 * head + 2)
            logits = query[:, own] @ key[:, own].T / np.sqrt(2)
            shares = np.exp(logits - logits.max(1, keepdims=True))
            heads.append(shares / shares.sum(1, keepdims=True) @ value[:, own])
        tokens = tokens + linear(block + "unite", np.concatenate(heads, 1))
        hidden = linear(block + "perceptron.1", norm(block + "perceptron.0", tokens))
        erf = np.vectorize(math.erf)
        tokens = tokens + linear(block + "perceptron.3", hidden * (1 + erf(hidden / np.sqrt(2))) / 2)
    expected = c + linear("recover", tokens).reshape(10, FEATURES)[:9]
    np.testing.assert_allclose(module(codes).detach().numpy(), expected, atol=1e-5)


def test_bridge_starts_at_the_first_codes_and_moves_all_of_them():
    vq = VectorQuantizer(
        FEATURES, 50, update=Gradient(revival=None, transform=Bridge(width=16)), penalties=BOTH
    )
    vq(data())
    assert vq.codebook.searched().equal(vq.codebook.codes)
    optimiser = torch.optim.SGD(vq.codebook.transform.parameters(), 0.1)
    before = vq.codebook.searched().detach().clone()
    for _ in range(3):
        optimiser.zero_grad()
        vq(data()[:30]).loss.backward()  # which chooses 30 codes at most
        optimiser.step()
    assert (vq.codebook.searched() - before).abs().sum(1).min() > 0


def test_bridge_takes_numbers_that_fit():
    with pytest.raises(CodewordError, match="4 heads divide"):
        Bridge(width=6)
    with pytest.raises(CodewordError, match="depth of Bridge"):
        Bridge(depth=0)


def test_learned_spread():
    module, codes = built(LearnedSpread(hidden=5))
    module.init_(codes, data(), Valid.of(torch.ones(300, dtype=torch.bool)))
    mean, spread = data().double().numpy().mean(0), data().double().numpy().std(0)
    c = codes.double().numpy()
    m = network(module.network, ((c - c.mean(0)) / c.std(0)).T)[:, 0]
    alpha = spread * np.log1p(np.exp(m + np.log(np.e - 1)))
    np.testing.assert_allclose(module.alpha(codes).detach().numpy(), alpha, rtol=1e-4)
    expected = mean + alpha * (c - c.mean(0)) / c.std(0)
    np.testing.assert_allclose(module(codes).detach().numpy(), expected, rtol=1e-3, atol=1e-4)
    assert (alpha > 0).all()


def test_learned_spread_starts_at_the_moments_of_the_rows():
    vq = VectorQuantizer(FEATURES, 64, update=Gradient(transform=LearnedSpread()), penalties=BOTH)
    x = data(rows=5000)
    vq(x)
    found = vq.codebook.searched().detach()
    torch.testing.assert_close(found.mean(0), x.mean(0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.std(0, correction=0), x.std(0), rtol=1e-3, atol=1e-3)


def test_gamma_shifts_all_codes_alike_after_the_search():
    module, codes = built(Gamma())
    shift = network(module.network, codes.double().numpy().T)[:, 0]
    np.testing.assert_allclose(
        module.output(codes).detach().numpy(), codes.numpy() + shift, rtol=1e-4, atol=1e-5
    )
    assert torch.equal(module(codes), codes)
    vq = VectorQuantizer(FEATURES, CODES, update=Frozen(transform=Gamma()), penalties=BOTH)
    out = vq(data())
    assert torch.equal(out.quantized, vq.codebook.codes[out.indices])  # 0 at the start
    vq.codebook.transform.network[-1].bias.data += 1.5
    later = vq.eval()(data())
    assert torch.equal(later.indices, out.indices)
    torch.testing.assert_close(later.quantized.detach(), vq.codebook.codes[out.indices] + 1.5)
    later.losses["codebook"].backward()
    assert (vq.codebook.transform.network[-1].bias.grad != 0).all()


def test_code_gamma_is_two_depthwise_convolutions():
    module, codes = built(CodeGamma())
    c = codes.double().numpy()
    first, second = module.first, module.second
    w, b = first.weight.detach().double().numpy()[:, 0], first.bias.detach().double().numpy()
    v, d = second.weight.detach().double().numpy()[:, 0], second.bias.detach().double().numpy()
    top = np.maximum(w[:, 0] * c.mean(0) + w[:, 1] * c + b, 0)
    bottom = np.maximum(w[:, 0] * c + w[:, 1] * c.var(0) + b, 0)
    expected = c + v[:, 0] * top + v[:, 1] * bottom + d
    np.testing.assert_allclose(module.output(codes).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(CodeGamma().build(CODES, FEATURES).output(codes), codes)


def test_norms():
    codes = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(
        UnitNorm().build(3, 2)(codes), torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]])
    )
    torch.testing.assert_close(
        MaxNorm(1.0).build(3, 2)(codes), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]])
    )


def test_space_filling_walks_the_segments():
    vq = VectorQuantizer(
        FEATURES, CODES, update=Gradient(revival=None, transform=SpaceFilling()), estimator=Directional(0.0)
    )
    places = []
    for step in range(60):
        out = vq(data(step))
        places.append(vq.codebook.transform.place.clone())
        codes = vq.codebook.codes.detach()
        points = codes + places[-1] * (codes.roll(-1, 0) - codes)
        torch.testing.assert_close(out.quantized.detach(), points[out.indices])
    drawn = torch.stack(places)
    assert 0 < float(drawn.min()) < 0.02
    assert 0.98 < float(drawn.max()) < 1
    out = vq.eval()(data(99))
    assert torch.equal(vq.codebook.transform.place, places[-1])
    out.quantized.sum().backward()
    touched = vq.codebook.codes.grad.abs().sum(1) > 0
    used = torch.zeros(CODES, dtype=torch.bool)
    used[out.indices] = True
    assert torch.equal(touched, used | used.roll(1))  # both ends of every segment in use


@pytest.mark.parametrize(
    "transform", [Affine(groups=3), RunningAffine(), LearnedSpread(), Gamma(), MaxNorm(100.0)], ids=str
)
def test_inverse_puts_codes_where_they_are_to_be(transform):
    module, codes = built(transform)
    module.init_(codes, data(), Valid.of(torch.ones(300, dtype=torch.bool)))
    with torch.no_grad():
        torch.testing.assert_close(module.inverse(module(codes), codes), codes, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transform", [Affine(groups=3), RunningAffine(), LearnedSpread()], ids=str)
def test_revival_through_a_transform_lands_on_rows(transform):
    torch.manual_seed(5)
    rule = Gradient(revival=Stale(1, noise=0.0, at_most=2), transform=transform)
    vq = VectorQuantizer(FEATURES, 64, update=rule, penalties=BOTH)
    vq(data())
    for parameter in vq.codebook.transform.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    x = data(1)[:20]
    vq(x)
    Codebook.begin_step_([vq.codebook], Key.of(0))
    moved = vq.codebook.last_revived
    assert int(moved.sum()) == 2
    distances = squared_distances(vq.codebook.searched(), x).min(1).values.sqrt()
    # moving codes moves the moments that some transforms divide by, so the landing is not exact
    assert float(distances[moved].max()) < 0.2 * float(distances[~moved].mean())


def test_default_codebook_has_no_transform():
    assert VectorQuantizer(FEATURES, CODES, update=EMA()).codebook.transform is None


def test_a_vanishing_alpha_does_not_send_revived_codes_away():
    """Measured before: at a hundredth of the scale alpha passed 1e-12, and codes went to 5e12 and on to inf."""
    module, codes = built(LearnedSpread())
    module.init_(codes, data(), Valid.of(torch.ones(300, dtype=torch.bool)))
    module.network[-1].bias.data.fill_(-1000.0)
    with torch.no_grad():
        assert float(module.alpha(codes).max()) == 0
        placed = module.inverse(data(1), codes)
    lowest, highest = codes.aminmax(dim=0)
    assert bool(((placed >= lowest) & (placed <= highest)).all())
