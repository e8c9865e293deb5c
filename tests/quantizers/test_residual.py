"""Residual quantization against NumPy, brute force and its own promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import codeword
from codeword import (
    EMA,
    CodewordError,
    Commitment,
    Gradient,
    Grouped,
    Residual,
    Rotation,
    StraightThrough,
    VectorQuantizer,
    distributed,
)
from codeword.estimators import Directional, Gumbel, ReinMax, Sampled
from codeword.penalties import CodebookLoss

FEATURES = 8


def stack(stages: int, codes: int = 16, **options) -> Residual:
    torch.manual_seed(0)
    rule = EMA(decay=0.9, revival=None)
    return Residual([VectorQuantizer(FEATURES, codes, update=rule) for _ in range(stages)], **options)


def rows(seed: int, count: int = 200) -> torch.Tensor:
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(seed))


def books(quantizer: Residual) -> list[np.ndarray]:
    return [stage.codebook.codes.double().numpy().copy() for stage in quantizer.components]


def greedy(x: np.ndarray, codebooks: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The indices of a greedy search and what each stage was given."""
    left, indices, given = x.copy(), [], []
    for codes in codebooks:
        given.append(left)
        indices.append(((left[:, None] - codes) ** 2).sum(-1).argmin(1))
        left = left - codes[indices[-1]]
    return np.stack(indices, 1), given


def test_search_sum_and_losses_are_numpys():
    rvq = stack(3)
    rvq(rows(0))
    rvq.eval()
    x = rows(1)
    out = rvq(x)
    codebooks = books(rvq)
    indices, given = greedy(x.double().numpy(), codebooks)
    assert np.array_equal(out.indices.numpy(), indices)
    parts = [codes[index] for codes, index in zip(codebooks, indices.T, strict=True)]
    np.testing.assert_allclose(out.quantized.numpy(), sum(parts), atol=1e-5)
    errors = [((left - part) ** 2).mean() for left, part in zip(given, parts, strict=True)]
    assert float(out.losses["commitment"]) == pytest.approx(np.mean(errors), rel=1e-5)
    assert float(out.loss) == pytest.approx(0.25 * np.mean(errors), rel=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_one_step_of_learning_is_numpys(shared):
    rvq = stack(3)
    if shared:
        rvq = Residual([rvq.components[0]] * 3)
    rvq(rows(0))
    before, counts = (
        books(rvq),
        [stage.codebook.cluster_size.double().numpy().copy() for stage in rvq.components],
    )
    x = rows(1)
    out = rvq(x)
    indices, given = greedy(x.double().numpy(), before)
    assert np.array_equal(out.indices.numpy(), indices)
    for s, codes in enumerate(books(rvq)):
        seen = range(3) if shared else [s]
        hits = sum(np.bincount(indices[:, t], minlength=16) for t in seen)
        sums = np.zeros((16, FEATURES))
        for t in seen:
            np.add.at(sums, indices[:, t], given[t])
        n = 0.9 * counts[s] + 0.1 * hits
        expected = (0.9 * counts[s][:, None] * before[s] + 0.1 * sums) / n[:, None]
        np.testing.assert_allclose(codes, np.where(hits[:, None] > 0, expected, before[s]), atol=1e-5)


@pytest.mark.parametrize("stages", [1, 4, 8])
def test_the_encoder_gets_the_gradient_of_one_stage(stages):
    rvq = stack(stages)
    x = rows(0).requires_grad_()
    out = rvq(x)
    weight = rows(1)
    (gradient,) = torch.autograd.grad((out.quantized * weight).sum(), x)
    assert torch.equal(gradient, weight)


def test_every_stage_pulls_the_encoder():
    """Commitment: the gradient of the mean over stages of |x - q_1 - ... - q_m|^2, everything but x held still."""
    rvq = stack(3).eval()
    x = rows(0).requires_grad_()
    (gradient,) = torch.autograd.grad(rvq(x).losses["commitment"], x)
    _, given = greedy(x.detach().double().numpy(), [*books(rvq), np.zeros((1, FEATURES))])
    expected = sum(2 * left for left in given[1:]) / x.numel() / 3
    np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-7)


def test_projections_of_stages_learn_from_the_task():
    torch.manual_seed(0)
    rvq = Residual([VectorQuantizer(FEATURES, 16, code_features=3, penalties=()) for _ in range(3)])
    x = rows(0).requires_grad_()
    weight = rows(1)
    out = rvq(x)
    (out.quantized * weight).sum().backward()
    assert torch.equal(x.grad, weight)
    assert torch.equal(rvq.decode(out.indices), out.quantized)
    assert all(parameter.grad.abs().max() > 0 for parameter in rvq.parameters())


def test_error_falls_with_every_stage_on_digits():
    x = torch.from_numpy(load_digits().data).float()
    torch.manual_seed(0)
    rvq = codeword.from_spec("rvq8x64", features=64)
    for _ in range(30):
        rvq(x)
    rvq.eval()
    indices = rvq.encode(x)
    errors = [float((rvq.decode(indices, stages=n) - x).square().mean()) for n in range(1, 9)]
    assert all(later < 0.95 * earlier for earlier, later in itertools.pairwise(errors))
    assert errors[-1] < 0.2 * errors[0]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_prefix_of_the_stages(stages):
    rvq = stack(3)
    rvq(rows(0))
    state = {key: value.clone() for key, value in rvq.state_dict().items()}
    out = rvq(rows(1), stages=stages)
    assert out.indices.shape == (200, stages)
    for key, value in rvq.state_dict().items():  # the other stages learn nothing
        if key.endswith(("codes", "usage_count")):
            assert torch.equal(value, state[key]) == (int(key.split(".")[1]) >= stages)
    rvq.eval()
    x, full = rows(2), rvq.encode(rows(2))
    assert torch.equal(rvq.encode(x, stages=stages), full[:, :stages])
    assert torch.equal(rvq(x, stages=stages).quantized, rvq.decode(full, stages=stages))
    assert torch.equal(rvq.decode(full[:, :stages]), rvq.decode(full, stages=stages))
    padded = torch.where(torch.arange(3) < stages, full, -1)
    assert torch.equal(rvq.decode(padded), rvq.decode(full, stages=stages))


def test_dropout_is_drawn_for_each_item():
    rvq = stack(4, dropout=0.5, minimum_stages=2)
    x = torch.randn(3000, 3, FEATURES)
    out = rvq(x)
    kept = (out.indices >= 0).sum(-1)
    assert (kept == kept[:, :1]).all()
    share = torch.bincount(kept[:, 0], minlength=5) / 3000
    torch.testing.assert_close(share, torch.tensor([0, 0, 1 / 6, 1 / 6, 4 / 6]), atol=0.04, rtol=0)
    assert torch.equal(rvq.decode(out.indices), out.quantized)
    again = (rvq(x).indices >= 0).sum(-1)
    assert (again != kept).any()  # each step draws anew
    assert (rvq.encode(x) >= 0).all()
    assert (rvq.eval()(x).indices >= 0).all()


def test_dropped_stages_do_not_count_in_the_loss():
    rvq = stack(3, dropout=1.0)
    rvq(rows(0))
    x = rows(1)
    out = rvq(x)
    kept = out.indices.numpy() >= 0
    parts = [codes[index] for codes, index in zip(books(rvq), out.indices.numpy().T, strict=True)]
    left, errors = x.double().numpy(), []
    for s, part in enumerate(parts):
        errors.append(((left - part) ** 2)[kept[:, s]].mean())
        left = left - part * kept[:, s : s + 1]
    assert float(out.losses["commitment"]) == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize("beam", [2, 5, 64])
def test_beams_against_brute_force(beam):
    rvq = stack(3, codes=4).train()
    for step in range(5):
        rvq(rows(step))
    x = rows(9, 50)
    codebooks = books(rvq)
    sums = {
        combination: sum(codes[k] for codes, k in zip(codebooks, combination, strict=True))
        for combination in itertools.product(range(4), repeat=3)
    }
    expected = []
    for row in x.double().numpy():
        paths = [()]
        for codes in codebooks:
            longer = [(*path, k) for path in paths for k in range(len(codes))]
            size = len(longer[0])
            partial = [sum(codebooks[i][p[i]] for i in range(size)) for p in longer]
            order = np.argsort([((row - q) ** 2).sum() for q in partial], kind="stable")
            paths = [longer[i] for i in order[:beam]]
        expected.append(paths[0])
        if beam == 64:
            best = min(sums.values(), key=lambda q: ((row - q) ** 2).sum())
            assert np.allclose(sums[paths[0]], best)
    assert rvq.encode(x, beam=beam).tolist() == [list(path) for path in expected]
    assert torch.equal(rvq.encode(x, beam=1), rvq.encode(x))
    assert torch.equal(rvq.eval()(x, beam=beam).indices, rvq.encode(x, beam=beam))
    assert rvq.encode(x[:0], beam=beam).shape == (0, 3)


def test_stages_learn_from_the_sum_that_the_beam_chose():
    rvq, x = stack(3), rows(1)
    rvq(rows(0))
    before, size = rvq.encode(x, beam=4), [vq.codebook.cluster_size.clone() for vq in rvq.distinct]
    codes = [vq.codebook.codes.clone() for vq in rvq.distinct]
    out = rvq(x, beam=4)
    assert torch.equal(out.indices, before)
    assert torch.equal(rvq.decode(out.indices), out.quantized)
    left = x.reshape(-1, x.shape[-1]).double()
    for stage, vq in enumerate(rvq.distinct):
        index = before[..., stage].flatten()
        counts = index.bincount(minlength=len(codes[stage])).double()
        sums = torch.zeros(codes[stage].shape, dtype=torch.float64).index_add_(0, index, left)
        rate = 1 - vq.codebook.update.decay if vq.codebook.update.decay else None
        new = vq.codebook.cluster_size.double()
        rate = rate or float(((new - size[stage]) / (counts - size[stage])).median())
        moved = codes[stage].double() + rate * (sums - counts[:, None] * codes[stage].double()) / new[:, None]
        torch.testing.assert_close(vq.codebook.codes.double(), moved, rtol=1e-4, atol=1e-5)
        left = left - codes[stage][index].double()


def test_the_number_of_stages_that_stay_is_rounded_up():
    rvq = stack(7, dropout=1.0, dropout_multiple=3)
    kept = (rvq(torch.randn(200, 2, FEATURES)).indices >= 0).sum(-1)
    assert kept.unique().tolist() == [3, 6, 7]
    assert codeword.from_spec(rvq.spec, features=FEATURES).spec == rvq.spec


def test_beams_help_on_digits():
    x = torch.from_numpy(load_digits().data).float()[:500]
    torch.manual_seed(0)
    rvq = codeword.from_spec("rvq4x32", features=64)
    for _ in range(10):
        rvq(x)
    errors = [float((rvq.decode(rvq.encode(x, beam=beam)) - x).square().mean()) for beam in (1, 2, 4, 8)]
    assert errors[3] < errors[2] < errors[1] < errors[0]


def test_usage_is_reported_for_each_stage():
    rvq = stack(3)
    rvq(rows(0))
    rvq.reset_usage()
    indices = rvq(rows(1)).indices
    usage = rvq.usage()
    assert usage.perplexity.shape == (3,)
    for s in range(3):
        alone = codeword.functional.usage(indices[:, s], 16)
        assert usage.used[s] == alone.used
        torch.testing.assert_close(usage.perplexity[s], alone.perplexity)
    shared = Residual([rvq.components[0]] * 2)
    assert shared.usage().perplexity.shape == ()
    nested = Grouped([stack(3), stack(3)])
    assert nested.usage().used.shape == (2, 3)


def test_a_shared_stage_is_kept_once():
    vq = VectorQuantizer(FEATURES, 16)
    rvq = Residual([vq] * 4)
    assert set(rvq.state_dict()) == {"rng.key", *(f"quantizers.0.{key}" for key in vq.state_dict())}
    rvq(rows(0))
    assert int(vq.codebook.usage_count.sum()) == 4 * 200


@pytest.mark.parametrize(
    "spec",
    ["rvq8x16", "rvq8x16,dropout=0.5", "rvq8x16,shared=true", "gvq2x(rvq4x16)", "rvq2x(gvq2x(rvq2x4))"],
)
def test_two_collectives_a_step(spec, monkeypatch):
    """Alone but made to believe otherwise: what would be sent is counted."""
    calls: list[str] = []

    def counted(name, result):
        def call(tensor: torch.Tensor, *more: int) -> torch.Tensor:
            calls.append(name)
            return result(tensor)

        return call

    monkeypatch.setattr(distributed, "is_shared", lambda: True)
    monkeypatch.setattr(distributed, "gather_scalars", counted("gather", lambda t: t.reshape(1)))
    monkeypatch.setattr(distributed, "sum_", counted("sum", lambda t: t))
    monkeypatch.setattr(distributed, "broadcast_", counted("first", lambda t: t))
    monkeypatch.setattr(distributed, "rank", lambda: 0)
    quantizer = codeword.from_spec(spec, features=FEATURES)
    quantizer(rows(0))
    calls.clear()
    quantizer(rows(1))
    assert calls == ["gather", "sum"]
    calls.clear()
    quantizer.encode(rows(1))
    assert not calls


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Residual([]), "a sequence of quantizers, but got"),
        (lambda: Residual([torch.nn.Linear(2, 2)]), "quantizers, but got Linear"),
        (lambda: Residual([VectorQuantizer(4, 4, dim=1)]), "features on the last axis, but got dim=1"),
        (lambda: Residual([VectorQuantizer(4, 4), VectorQuantizer(5, 4)]), "same features, but got 4, 5"),
        (
            lambda: Residual([*[VectorQuantizer(4, 4)] * 2, VectorQuantizer(4, 4)]),
            "repeat all of them or none",
        ),
        (
            lambda: Residual([VectorQuantizer(4, 4), VectorQuantizer(4, 4, update=EMA(sync=False))]),
            "same sync",
        ),
        (lambda: stack(2, dropout=1.5), "dropout from 0 to 1, but got 1.5"),
        (lambda: stack(2, minimum_stages=3), "minimum_stages from 1 to 2, but got 3"),
        (lambda: stack(2).encode(rows(0), stages=3), "stages from 1 to 2, but got 3"),
        (lambda: stack(2).encode(rows(0), stages=0), "stages of at least 1, but got 0"),
        (lambda: stack(2).encode(rows(0), scales=1), "but got scales=1; it takes: stages, beam"),
        (lambda: VectorQuantizer(FEATURES, 4).encode(rows(0), stages=1), "but got stages=1; it takes no"),
        (lambda: stack(2, stagewise=True)(rows(0), beam=2), "for a beam in training, but got beam=2"),
        (lambda: stack(2, dropout_multiple=0), "dropout_multiple of at least 1, but got 0"),
        (lambda: stack(2).decode(torch.zeros(3, 5).long()), r"indices \(..., 2\), but got shape \(3, 5\)"),
        (
            lambda: codeword.from_spec("rvq2x(gvq2x4)", features=8).encode(rows(0), beam=2),
            "vector quantizers with the Euclidean metric .* but got gvq2x4",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()


@pytest.mark.parametrize("estimator", [Gumbel(), ReinMax()], ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("nested", [False, True])
def test_estimators_of_one_look_up_are_refused(estimator, nested):
    rule = Gradient()
    part = VectorQuantizer(4, 8, update=rule, estimator=estimator, penalties=(Commitment(), CodebookLoss()))
    stage = Grouped([part]) if nested else part
    assert Residual([stage]).count == 1
    with pytest.raises(
        CodewordError, match=f"{type(estimator).__name__}.* whose gradient is that of a single"
    ):
        Residual([stage] * 2)


def test_directional_stages_learn_along_their_own_errors():
    torch.manual_seed(0)
    parts = [
        VectorQuantizer(4, 8, update=Gradient(revival=None), estimator=Directional(noise=0.0), penalties=())
        for _ in range(2)
    ]
    stack = Residual(parts)
    stack(torch.randn(64, 4))
    x = torch.randn(1, 4, requires_grad=True)
    out, weight = stack.eval()(x), torch.randn(1, 4)
    (out.quantized * weight).sum().backward()
    torch.testing.assert_close(x.grad, weight)
    left = x.detach()
    for part, index in zip(parts, out.indices[0], strict=True):
        code = part.codebook.codes.detach()[index]
        u = (code - left) / (code - left).norm()
        torch.testing.assert_close(part.codebook.codes.grad[index], (weight @ u.mT @ u)[0])
        left = left - code


def test_rotation_turns_the_whole_sum():
    rule = EMA(decay=0.9, revival=None)
    torch.manual_seed(0)
    rvq = Residual([VectorQuantizer(FEATURES, 16, update=rule, estimator=Rotation()) for _ in range(3)])
    x = rows(0).requires_grad_()
    out = rvq(x)
    weight = rows(1).double()
    (gradient,) = torch.autograd.grad((out.quantized * weight).sum(), x)
    for row, q, given, expected in zip(
        x.detach().double(), out.quantized.detach().double(), gradient, weight, strict=True
    ):
        a, b = row / row.norm(), q / q.norm()
        r = (a + b) / (a + b).norm()
        turn = q.norm() / row.norm() * (torch.eye(FEATURES) - 2 * r.outer(r) + 2 * b.outer(a))
        torch.testing.assert_close(given.double(), turn.T @ expected, atol=1e-4, rtol=1e-4)


def test_synchronised_codes_get_the_gradient_of_the_sum():
    nu = 0.5
    torch.manual_seed(0)
    parts = [
        VectorQuantizer(FEATURES, 8, update=Gradient(), estimator=StraightThrough(sync=nu), penalties=())
        for _ in range(3)
    ]
    rvq = Residual(parts)
    rvq(rows(0))
    x, weight = rows(1).requires_grad_(), rows(2)
    out = rvq(x)
    (out.quantized * weight).sum().backward()
    assert torch.equal(x.grad, weight)
    for part, index in zip(parts, out.indices.unbind(1), strict=True):
        expected = torch.zeros(8, FEATURES).index_add_(0, index, nu * weight)
        torch.testing.assert_close(part.codebook.codes.grad, expected)


@pytest.mark.parametrize("shared", [False, True])
def test_sampled_stages_draw_each_for_itself(shared):
    """Two stages that see the same rows and the same codes: their draws are independent."""
    torch.manual_seed(0)
    parts = [VectorQuantizer(2, 8, update=EMA(init=None), estimator=Sampled(1e6)) for _ in range(2)]
    rvq = Residual([parts[0]] * 2 if shared else parts)
    x = torch.randn(6000, 2).requires_grad_()
    out = rvq(x)
    table = torch.zeros(8, 8).index_put_(tuple(out.indices.T), torch.ones(()), accumulate=True) / 6000
    torch.testing.assert_close(table, torch.full((8, 8), 1 / 64), atol=0.01, rtol=0)
    assert torch.equal(rvq.decode(out.indices), out.quantized)
    (gradient,) = torch.autograd.grad(out.quantized.sum(), x)
    assert torch.equal(gradient, torch.ones_like(x))
