"""Jacobians of the estimators against their exact form, in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codeword.functional.blocked as blocked
from codeword import EMA, StraightThrough, VectorQuantizer
from codeword.estimators import Directional, Gumbel, ReinMax, Rotation, Sampled
from codeword.functional import Key, Purpose, Valid
from codeword.metrics import Cosine, Dot, Euclidean
from codeword.quantizers.assignment import Assignment, Step
from codeword.updates import Gradient

ROWS, CODES, FEATURES = 13, 7, 4


def trained(estimator, rule=None, **options) -> VectorQuantizer:
    torch.manual_seed(0)
    rule = rule or (Gradient(revival=None) if estimator.trains_codes else EMA(revival=None))
    vq = VectorQuantizer(FEATURES, CODES, estimator=estimator, update=rule, penalties=(), **options).double()
    vq(data(seed=0))
    return vq.eval()


def data(seed: int = 1) -> torch.Tensor:
    return (
        torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5
    )


def gradients(
    vq: VectorQuantizer, towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows, their codes, and the gradients of sum(towards * quantized) by rows and by codes."""
    x = data().requires_grad_()
    out = vq(x)
    assert torch.equal(out.quantized, vq.decode(out.indices, dtype=torch.float64))  # the value is the code
    out.quantized.backward(torch.from_numpy(towards))
    by_codes = vq.codebook.codes.grad
    return (
        x.detach().numpy(),
        out.quantized.detach().numpy(),
        x.grad.numpy(),
        np.zeros((CODES, FEATURES)) if by_codes is None else by_codes.numpy(),
    )


@pytest.fixture
def towards() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, FEATURES))


def scatter(vq: VectorQuantizer, per_row: np.ndarray) -> np.ndarray:
    total = np.zeros((CODES, FEATURES))
    np.add.at(total, vq.encode(data()).numpy(), per_row)
    return total


@pytest.mark.parametrize("nu", [0.0, 0.3, 2.0])
def test_straight_through_is_one_and_nu(nu, towards):
    vq = trained(StraightThrough(nu), None if nu else EMA(revival=None))
    _, _, by_rows, by_codes = gradients(vq, towards)
    np.testing.assert_allclose(by_rows, towards)
    np.testing.assert_allclose(by_codes, nu * scatter(vq, towards))


@pytest.mark.parametrize("scaled", [True, False])
def test_rotation_is_lambda_r(scaled, towards):
    x, q, by_rows, _ = gradients(trained(Rotation(scaled)), towards)
    for row, code, given, got in zip(x, q, towards, by_rows, strict=True):
        a, b = row / np.linalg.norm(row), code / np.linalg.norm(code)
        # The rotation in the plane of a and b, from angle and generator instead of from reflections
        cosine = a @ b
        plane = b - cosine * a
        sine = np.linalg.norm(plane)
        e = plane / sine
        rotation = np.eye(FEATURES) + sine * (np.outer(e, a) - np.outer(a, e))
        rotation += (cosine - 1) * (np.outer(a, a) + np.outer(e, e))
        np.testing.assert_allclose(rotation @ a, b, atol=1e-12)
        ratio = np.linalg.norm(code) / np.linalg.norm(row) if scaled else 1.0
        np.testing.assert_allclose(got, ratio * rotation.T @ given, atol=1e-10)


def test_rotation_is_finite_where_it_is_not_defined():
    vq = trained(Rotation())
    code = vq.codebook.codes[3]
    x = torch.stack([-code, torch.zeros_like(code), code]).requires_grad_()
    step = Step(Valid.of(torch.ones(3, dtype=torch.bool)), Key.of(0))
    found = Assignment(torch.tensor([3, 3, 3]), x.detach(), step)
    surrogate = vq._surrogate(found, x, code.expand(3, -1), step)
    surrogate.sum().backward()
    assert x.grad.isfinite().all()
    torch.testing.assert_close(surrogate[0], code)  # a reflection: it still maps the row to its code
    torch.testing.assert_close(x.grad[1], torch.ones(FEATURES).double())


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_directional_splits_the_gradient(noise, towards):
    vq = trained(Directional(noise))
    x, q, by_rows, by_codes = gradients(vq, towards)
    u = (q - x) / np.linalg.norm(q - x, axis=1, keepdims=True)
    along = u * (u * towards).sum(1, keepdims=True)
    np.testing.assert_allclose(by_rows, towards - along, atol=1e-6)
    np.testing.assert_allclose(by_codes, scatter(vq, along), atol=1e-6)


def test_directional_noise_turns_the_direction(towards):
    vq = trained(Directional(0.5))
    x, q, by_rows, _ = gradients(vq, towards)
    noise = vq.rng.last_key().normal_at(Purpose.DIRECTION, torch.arange(ROWS), FEATURES).double().numpy()
    u = q - x + 0.5 * noise
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    error = (q - x) / np.linalg.norm(q - x, axis=1, keepdims=True)
    np.testing.assert_allclose(by_rows, towards - error * (u * towards).sum(1, keepdims=True), atol=1e-9)


def test_directional_row_on_its_code_is_finite():
    vq = trained(Directional(0.0))
    x = vq.codebook.codes[:3].detach().clone().requires_grad_()
    vq(x).quantized.sum().backward()
    assert x.grad.isfinite().all()
    assert vq.codebook.codes.grad.isfinite().all()


def softmax(a: np.ndarray) -> np.ndarray:
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logits_of(metric, x: np.ndarray, c: np.ndarray) -> np.ndarray:
    if isinstance(metric, Euclidean):
        return -((x[:, None] - c) ** 2).sum(-1)
    if isinstance(metric, Cosine):
        x, c = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (x, c))
    return x @ c.T


def scale_of(estimator, metric, x: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(N, 1): what scores are multiplied by, over the squared distance of the nearest code where it is relative."""
    if not estimator.relative:
        return np.full((len(x), 1), estimator.scale)
    nearest = c[logits_of(metric, x, c).argmax(1)]
    if isinstance(metric, Cosine):
        x, nearest = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (x, nearest))
    return estimator.scale / ((x - nearest) ** 2).sum(1, keepdims=True)


def weights(
    estimator, vq: VectorQuantizer, logits: np.ndarray, indices: np.ndarray
) -> list[tuple[float, np.ndarray]]:
    """The surrogate's softmaxes, each with its factor: probabilities (N, K)."""
    if isinstance(estimator, Gumbel):
        uniform = vq.rng.last_key().uniform_at(Purpose.GUMBEL, torch.arange(ROWS), CODES).double().numpy()
        return [
            (
                1.0 / estimator.temperature,
                softmax((logits - np.log(-np.log(uniform))) / estimator.temperature),
            )
        ]
    middle = (softmax(logits / estimator.temperature) + np.eye(CODES)[indices]) / 2
    return [(2.0, middle), (-0.5, softmax(logits))]


@pytest.mark.parametrize("pairs", [2**22, 3 * CODES], ids=["one-block", "blocks"])
@pytest.mark.parametrize("metric", [Euclidean(), Cosine(), Dot()], ids=str)
@pytest.mark.parametrize(
    "estimator",
    [Gumbel(0.7, 0.5), ReinMax(1.3, 0.5), Gumbel(0.7, 1.5, relative=True), ReinMax(1.3, 1.5, relative=True)],
    ids=["gumbel", "reinmax", "gumbel-relative", "reinmax-relative"],
)
def test_relaxed_gradients(estimator, metric, pairs, towards, monkeypatch):
    monkeypatch.setattr(blocked, "CACHED_PAIRS", pairs)
    vq = trained(estimator, metric=metric)
    x, _, by_rows, by_codes = gradients(vq, towards)
    codes = vq.codebook.codes.detach().numpy()
    indices = vq.encode(data()).numpy()
    scale = scale_of(estimator, metric, x, codes)

    def surrogate_slope(x: np.ndarray, codes_in_logits: np.ndarray) -> float:
        """d of sum(towards * surrogate) along the change of the logits from those at the start, to first order."""
        moved = scale * (logits_of(metric, x, codes_in_logits) - logits_of(metric, start_x, codes))
        total = 0.0
        for factor, p in parts:
            change = p * (moved - (p * moved).sum(1, keepdims=True))  # J(p) da
            total += factor * (towards * (change @ codes)).sum()
        return total

    start_x = x
    parts = weights(estimator, vq, scale * logits_of(metric, x, codes), indices)
    step = 1e-6
    for at in [(0, 0), (5, 2), (12, 3)]:
        bump = np.zeros_like(x)
        bump[at] = step
        exact = (surrogate_slope(x + bump, codes) - surrogate_slope(x - bump, codes)) / (2 * step)
        assert by_rows[at] == pytest.approx(exact, rel=1e-5, abs=1e-8)
    hard = scatter(vq, towards)
    for at in [(0, 0), (3, 2), (6, 3)]:
        bump = np.zeros_like(codes)
        bump[at] = step
        exact = (surrogate_slope(x, codes + bump) - surrogate_slope(x, codes - bump)) / (2 * step)
        assert by_codes[at] == pytest.approx(hard[at] + exact, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("estimator", "sharpness"), [(Sampled(0.5), 2.0), (ReinMax(1.0, 2.0), 2.0), (Gumbel(3.0, 2.0), 2.0)]
)
def test_draws_follow_the_softmax(estimator, sharpness, monkeypatch):
    monkeypatch.setattr(blocked, "CACHED_PAIRS", 1000 * 5)
    generator = torch.Generator().manual_seed(0)
    codes, row = torch.randn(5, 3, generator=generator), torch.randn(1, 3, generator=generator)
    rows = row.expand(40_000, 3)
    key = Key.of(5, 9)
    valid = Valid.of(torch.ones(len(rows), dtype=torch.bool))
    drawn = estimator.select(rows, codes, Euclidean(), valid, key)
    share = np.bincount(drawn.numpy(), minlength=5) / len(rows)
    exact = softmax(sharpness * logits_of(Euclidean(), row.double().numpy(), codes.double().numpy()))[0]
    np.testing.assert_allclose(share, exact, atol=4 * 0.5 / np.sqrt(len(rows)))


@pytest.mark.parametrize("metric", [Euclidean(), Dot()], ids=str)
def test_relative_draws_do_not_see_the_unit(metric):
    generator = torch.Generator().manual_seed(0)
    codes, rows = torch.randn(5, 3, generator=generator), torch.randn(1000, 3, generator=generator)
    rows[:5] = codes
    key, valid = Key.of(5, 9), Valid.of(torch.ones(len(rows), dtype=torch.bool))
    estimator = Sampled(1.0, relative=True)
    drawn = estimator.select(rows, codes, metric, valid, key)
    assert 0.2 < float((drawn != metric.assign(rows, metric.prepare(codes))).float().mean()) < 0.8
    for unit in (2.0**-40, 2.0**40):
        assert torch.equal(estimator.select(unit * rows, unit * codes, metric, valid, key), drawn)
    if metric == Euclidean():
        assert drawn[:5].tolist() == [0, 1, 2, 3, 4]


def test_draws_are_of_training_alone_and_cold_ones_are_nearest():
    torch.manual_seed(0)
    vq = VectorQuantizer(FEATURES, CODES, estimator=Sampled(1e-6), update=EMA(revival=None))
    x = data().float()
    vq(x)
    nearest = vq.encode(x)
    assert torch.equal(vq(x).indices, nearest)
    hot = VectorQuantizer(FEATURES, CODES, estimator=Sampled(1e6), update=EMA(revival=None))
    for _ in range(2):
        out = hot(x)
    assert not torch.equal(out.indices, hot.encode(x))
    assert torch.equal(hot.eval()(x).indices, hot.encode(x))


def test_a_block_is_not_kept_between_forward_and_backward(monkeypatch):
    monkeypatch.setattr(blocked, "CACHED_PAIRS", 4096)
    held = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor.numel())
        return tensor

    vq = VectorQuantizer(2, 512, estimator=Gumbel())
    x = torch.randn(1000, 2, requires_grad=True)
    vq(x)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        vq(x).quantized.sum().backward()
    assert max(held) < 1000 * 512 / 50
