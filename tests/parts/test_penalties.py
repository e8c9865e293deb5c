"""Penalties against float64 NumPy, and their gradients against finite differences."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import codeword.functional.blocked as blocked
from codeword import Commitment, VectorQuantizer
from codeword.axes import Lookup
from codeword.functional import Key, Valid
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import (
    CodebookLoss,
    CrossEntropy,
    Diversity,
    Entropy,
    GrowingAlpha,
    LargeAlpha,
    Moments,
    NormCap,
    Orthogonality,
    UnitAlpha,
    Wasserstein,
)
from codeword.transforms import LearnedSpread
from codeword.updates import Frozen, Gradient

ROWS, CODES, FEATURES = 23, 7, 4
EUCLIDEAN = Euclidean()


def lookup(rows: torch.Tensor, codes: torch.Tensor, metric=EUCLIDEAN) -> Lookup:
    mask = torch.arange(ROWS) % 4 != 1
    indices = metric.assign(rows.detach(), metric.prepare(codes.detach()))
    book = SimpleNamespace(
        codes=None, searched=lambda: codes, alpha=lambda: codes.std(0), transform=SimpleNamespace(step=7)
    )
    return Lookup(rows, indices, codes[indices], Valid.of(mask), metric, Key.of(0), book)


def parts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64)
    codes = 1.5 * torch.randn(CODES, FEATURES, generator=generator, dtype=torch.float64) + 0.3
    return rows.requires_grad_(), codes.requires_grad_()


def valid_rows(x: np.ndarray) -> np.ndarray:
    return x[np.arange(ROWS) % 4 != 1]


def softmax(a: np.ndarray) -> np.ndarray:
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def shares(x: np.ndarray, c: np.ndarray, temperature: float) -> np.ndarray:
    return softmax(-((valid_rows(x)[:, None] - c) ** 2).sum(-1) / temperature)


def entropy_of(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p)).sum(-1)


def chosen(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    return c[((x[:, None] - c) ** 2).sum(-1).argmin(1)]


def cross_entropy(x: np.ndarray, c: np.ndarray) -> float:
    distances = np.sqrt(((valid_rows(x)[:, None] - c) ** 2).sum(-1))
    return -np.log(softmax(-distances)[np.arange(len(distances)), distances.argmin(1)]).mean()


def orthogonality(x: np.ndarray, c: np.ndarray, active: bool) -> float:
    if active:
        c = c[np.unique(((valid_rows(x)[:, None] - c) ** 2).sum(-1).argmin(1))]
    unit = c / np.linalg.norm(c, axis=1, keepdims=True)
    return ((unit @ unit.T) ** 2).sum() / len(c) ** 2 - 1 / len(c)


def moments(x: np.ndarray, higher: bool) -> float:
    x = valid_rows(x)
    m, v = x.mean(0), x.var(0, ddof=1)
    unit = (x - m) / np.sqrt(v)
    terms = m**2 + 0.7 * (v - (1.0 if higher else 0.7)) ** 2
    if higher:
        terms = terms + 0.6 * (unit**3).mean(0) ** 2 + 0.5 * ((unit**4).mean(0) - 3) ** 2
    return terms.mean()


def wasserstein(x: np.ndarray, c: np.ndarray) -> float:
    x = valid_rows(x)
    spreads = [np.cov(v.T, bias=True) for v in (x, c)]
    values, vectors = np.linalg.eigh(spreads[0])
    root = vectors * np.sqrt(values) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ spreads[1] @ root)).sum()
    return ((x.mean(0) - c.mean(0)) ** 2).sum() + np.trace(spreads[0]) + np.trace(spreads[1]) - 2 * overlap


EXACT = [
    (Commitment(), lambda x, c: ((valid_rows(x) - valid_rows(chosen(x, c))) ** 2).mean()),
    (CodebookLoss(), lambda x, c: ((valid_rows(x) - valid_rows(chosen(x, c))) ** 2).mean()),
    (
        Entropy(temperature=2.0, share=0.7),
        lambda x, c: entropy_of(shares(x, c, 2.0)).mean() - 0.7 * entropy_of(shares(x, c, 2.0).mean(0)),
    ),
    (CrossEntropy(), cross_entropy),
    (Diversity(temperature=3.0), lambda x, c: -entropy_of(shares(x, c, 3.0).mean(0))),
    (Orthogonality(), lambda x, c: orthogonality(x, c, False)),
    (Orthogonality(active=True), lambda x, c: orthogonality(x, c, True)),
    (Wasserstein(), wasserstein),
    (NormCap(limit=2.0), lambda x, c: (np.maximum(np.linalg.norm(c, axis=1) - 2.0, 0) ** 2).mean()),
    (Moments(variance=0.7), lambda x, c: moments(x, False)),
    (Moments(higher=True), lambda x, c: moments(x, True)),
    (LargeAlpha(), lambda x, c: -(c.std(0, ddof=1) ** 2).sum()),
    (UnitAlpha(), lambda x, c: ((1 - c.std(0, ddof=1)) ** 2).sum()),
    (GrowingAlpha(), lambda x, c: -0.5 * 7 * (c.std(0, ddof=1) ** 2).sum()),
]


@pytest.mark.parametrize("pairs", [2**22, 5 * CODES], ids=["one-block", "blocks"])
@pytest.mark.parametrize(("penalty", "exact"), EXACT, ids=[str(p) for p, _ in EXACT])
def test_value_and_gradients(penalty, exact, pairs, monkeypatch):
    monkeypatch.setattr(blocked, "CACHED_PAIRS", pairs)
    rows, codes = parts()
    value = penalty(lookup(rows, codes))
    x, c = rows.detach().numpy(), codes.detach().numpy()
    ridge = 1e-4 if isinstance(penalty, Wasserstein) else 1e-9
    assert float(value.detach()) == pytest.approx(exact(x, c), abs=10 * ridge)
    value.backward()
    for at in [(0, 0), (3, 2), (6, 3)]:
        for tensor, trains, numpy_at in ((rows, penalty.trains_rows, 0), (codes, penalty.trains_codes, 1)):
            if penalty.needs_alpha:  # here alpha stands on the codes
                trains = numpy_at == 1
            bumped = []
            for step in (1e-5, -1e-5):
                both = [x.copy(), c.copy()]
                both[numpy_at][at] += step
                bumped.append(exact(*both))
            slope = (bumped[0] - bumped[1]) / 2e-5 if trains else 0.0
            found = 0.0 if tensor.grad is None else float(tensor.grad[at])
            assert found == pytest.approx(slope, rel=100 * ridge, abs=max(1e-7, ridge))


def test_entropy_uses_the_metric():
    rows, codes = parts()
    value = Entropy(temperature=0.5)(lookup(rows, codes, Cosine()))
    x, c = valid_rows(rows.detach().numpy()), codes.detach().numpy()
    x, c = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, c))
    p = softmax(x @ c.T / 0.5)
    assert float(value.detach()) == pytest.approx(entropy_of(p).mean() - entropy_of(p.mean(0)))


def test_sharp_entropies_are_finite():
    rows, codes = parts()
    value = Entropy(temperature=1e-6)(lookup(1000 * rows, codes))
    value.backward()
    assert value.isfinite()
    assert rows.grad.isfinite().all()
    assert codes.grad.isfinite().all()


def test_loss_is_the_weighted_sum():
    vq = VectorQuantizer(
        FEATURES,
        CODES,
        update=Gradient(),
        penalties=(Commitment(0.5), CodebookLoss(2.0), NormCap(3.0, 0.1)),
    )
    out = vq(parts()[0].float())
    assert set(out.losses) == {"commitment", "codebook", "norm_cap"}
    expected = 0.5 * out.losses["commitment"] + 2 * out.losses["codebook"] + 3 * out.losses["norm_cap"]
    torch.testing.assert_close(out.loss, expected)


def test_alpha_penalties_move_the_network():
    vq = VectorQuantizer(
        FEATURES,
        CODES,
        update=Frozen(transform=LearnedSpread()),
        penalties=(CodebookLoss(0.0), UnitAlpha(1.0)),
    )
    x = 3 * parts()[0].detach().float()
    vq(x)
    start = (vq.codebook.alpha().detach() - 1).square().sum()
    optimiser = torch.optim.Adam(vq.parameters(), 0.03)
    for _ in range(300):
        optimiser.zero_grad()
        out = vq(x)
        out.loss.backward()
        optimiser.step()
    assert (vq.codebook.alpha() - 1).square().sum() < 0.02 * start
