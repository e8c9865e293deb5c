"""The quantizers of a model: found, switched off, frozen, annealed, warmed up, and their optimisers."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from torch import nn

import codeword
from codeword import EMA, Residual, VectorQuantizer
from codeword.estimators import Gumbel, Sampled
from codeword.inits import Sample
from codeword.models import (
    anneal,
    codebook_parameters,
    disabled,
    find_codebooks,
    find_quantizers,
    freeze,
    parameter_groups,
    reset_moments,
)
from codeword.models.warm_up import warm_up
from codeword.penalties import CodebookLoss
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.spec.parts import PARTS
from codeword.revivals import Stale
from codeword.transforms import Affine
from codeword.updates import Gradient
from distances import squared_distances

LEARNED = {"update": Gradient(), "penalties": (CodebookLoss(),)}


class Encoder(nn.Module):
    def __init__(self, quantizer: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)
        self.norm = nn.BatchNorm1d(4)
        self.vq = quantizer

    def forward(self, x: torch.Tensor) -> codeword.Quantized:
        return self.vq(self.norm(self.linear(x)))


def x(seed: int = 0, rows: int = 64) -> torch.Tensor:
    return torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed))


def residual(stages: int = 3, **options: object) -> Residual:
    return Residual([VectorQuantizer(4, 8, **options) for _ in range(stages)])


def test_found_by_their_places():
    model = Encoder(residual())
    assert list(find_quantizers(model)) == ["vq", "vq.quantizers.0", "vq.quantizers.1", "vq.quantizers.2"]
    assert len(find_codebooks(model)) == 3


@pytest.mark.parametrize("build", [lambda: VectorQuantizer(4, 8), residual], ids=["vq", "residual"])
def test_disabled_passes_vectors_and_learns_nothing(build):
    model = Encoder(build())
    before = copy.deepcopy(model.vq.state_dict())
    features = model.norm(model.linear(x()))
    features[3, 2] = torch.nan
    mask = torch.arange(64) != 5
    with disabled(model):
        out = model.vq(features, mask)
    assert torch.equal(out.quantized[6:], features[6:])
    assert (out.quantized[5] == 0).all()
    assert out.quantized[3].isnan().all()
    assert (out.indices == -1).all()
    assert out.indices.shape == model.vq.encode(features).shape
    assert out.loss == 0
    assert all(torch.equal(v, before[k]) for k, v in model.vq.state_dict().items())
    assert (model.vq(features, mask).indices[6:] >= 0).all()


def test_disabled_restores_what_was_off_and_survives_errors():
    model = nn.ModuleList([VectorQuantizer(4, 8), VectorQuantizer(4, 8)])
    model[1].enabled = False

    def fail() -> None:
        with disabled(model):
            assert not model[0].enabled
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert [quantizer.enabled for quantizer in model] == [True, False]


@pytest.mark.parametrize("options", [{}, LEARNED, {**LEARNED, "update": Gradient(transform=Affine())}])
def test_frozen_codebooks_only_count(options):
    model = Encoder(residual(**options))
    with pytest.raises(codeword.CodewordError, match="waits for its first batch"):
        freeze(model)
    for step in range(3):
        model(x(step))
    freeze(model)
    books = find_codebooks(model).values()
    before = [book.searched().detach().clone() for book in books]
    counted = [int(book.usage_count.sum()) for book in books]
    for step in range(3):
        (model(x(step)).quantized.sum()).backward()
    assert all(torch.equal(book.searched(), old) for book, old in zip(books, before, strict=True))
    assert all(int(book.usage_count.sum()) == n + 3 * 64 for book, n in zip(books, counted, strict=True))
    assert all(parameter.grad is None for parameter in codebook_parameters(model))
    freeze(model, False)
    assert all(parameter.requires_grad for parameter in codebook_parameters(model))
    if not options:
        model(x(9))
        assert not any(torch.equal(book.searched(), old) for book, old in zip(books, before, strict=True))


def test_anneal():
    model = Encoder(residual(estimator=Sampled(1.0)))
    anneal(model, 0.25)
    assert model.vq.quantizers[2].estimator == Sampled(0.25)
    with pytest.raises(codeword.CodewordError, match="an estimator with a temperature, but got none"):
        anneal(Encoder(VectorQuantizer(4, 8)), 0.5)
    for value in (-1.0, 0.0, float("nan")):
        with pytest.raises(codeword.CodewordError, match="temperature above 0"):
            anneal(VectorQuantizer(4, 8, estimator=Gumbel()), value)


TEMPERED = ("bits3", "bitlayers3", "memory5", "ovq2x(memory5)", "vq5,estimator=reinmax(2)")


@pytest.mark.parametrize("spec", TEMPERED)
def test_anneal_reaches_all_that_relax_a_look_up(spec):
    annealed = codeword.from_spec(spec, features=4)
    anneal(annealed, 3.5)
    built = codeword.from_spec(annealed.spec, features=4)
    built.load_state_dict(annealed.state_dict())
    old = codeword.from_spec(spec, features=4)
    old.load_state_dict(annealed.state_dict())
    rows = [torch.randn(20, 4, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(3)]
    for quantizer, row in zip((annealed, built, old), rows, strict=True):
        quantizer(row).quantized.square().sum().backward()
    assert torch.equal(rows[0].grad, rows[1].grad)
    assert not torch.allclose(rows[0].grad, rows[2].grad)


def test_every_temperature_is_annealed_or_of_a_loss():
    losses = {"LFQ", "BSQ", "Entropy", "Diversity"}
    listed = [QUANTIZERS[name] for name in QUANTIZERS] + [PARTS[name] for name in PARTS]
    tempered = {cls.__name__ for cls in listed if "temperature" in inspect.signature(cls).parameters}
    assert tempered == losses | {"Sampled", "Gumbel", "ReinMax", "Bitcodes", "BitLayers", "MemoryCodes"}


def test_parameter_groups():
    model = Encoder(residual(**LEARNED))
    groups = parameter_groups(model, 1e-3)
    assert [g["lr"] for g in groups] == [1e-3, 1e-2]
    assert groups[1]["weight_decay"] == 0
    assert len(groups[1]["params"]) == 3
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert parameter_groups(model, 1e-3, 0.5)[1]["lr"] == 0.5
    assert len(parameter_groups(Encoder(VectorQuantizer(4, 8)), 1e-3)) == 1


def test_moments_of_revived_codes_are_reset():
    torch.manual_seed(0)
    vq = VectorQuantizer(4, 48, update=Gradient(revival=Stale(1, at_most=5)), penalties=(CodebookLoss(),))
    optimizer = torch.optim.Adam(vq.parameters(), 0.1)
    moves = 0
    for step in range(8):
        out = vq(torch.randn(100, 4, generator=torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        out.loss.backward()
        reset_moments(optimizer, vq)
        state = optimizer.state.get(vq.codebook.codes, {})
        for name in ("exp_avg", "exp_avg_sq") if state else ():
            assert (state[name][vq.codebook.last_revived] == 0).all()
            assert (state[name][~vq.codebook.last_revived] != 0).any()
        moves += int(vq.codebook.last_revived.sum())
        optimizer.step()
    assert moves > 5


def test_warm_up_is_kmeans_on_all_batches():
    torch.manual_seed(0)
    batches = [x(step) for step in range(6)]
    model = Encoder(VectorQuantizer(4, 8, update=EMA(init=Sample())))
    before = copy.deepcopy(model.state_dict())
    model.linear.train()
    model.norm.eval()
    warm_up(model, batches, batches=5, method=codeword.KMeans(steps=200))
    with torch.no_grad():
        rows = torch.cat([model.eval().norm(model.linear(batch)) for batch in batches[:5]])
    assert model.vq.ready
    codes = model.vq.codebook.codes  # a fixed point: every code is the mean of its rows, in all five batches
    chosen = squared_distances(rows, codes).argmin(1)
    for index in range(8):
        torch.testing.assert_close(codes[index], rows[chosen == index].mean(0), rtol=1e-4, atol=1e-5)
    for key, value in model.state_dict().items():
        if not key.startswith("vq."):
            assert torch.equal(value, before[key])
    assert int(model.vq.codebook.usage_count.sum()) == 0


def test_warm_up_fills_stages_in_order_and_restores_modes():
    torch.manual_seed(0)
    model = Encoder(residual(3))
    model.linear.eval()
    modes = [module.training for module in model.modules()]
    warm_up(model, [(x(step), "label") for step in range(4)])
    assert [module.training for module in model.modules()] == modes
    with torch.no_grad():
        rows = torch.cat([model.norm(model.linear(x(step))) for step in range(4)])
    model.eval()
    left, errors = rows, [float(rows.square().mean())]
    for stage in model.vq.quantizers:
        left = left - stage(left).quantized
        errors.append(float(left.square().mean()))
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.65 * errors[1]
    assert errors[3] < 0.65 * errors[2]


@pytest.mark.parametrize("training", [True, False])
def test_warm_up_sees_what_the_model_gives_in_its_mode(training):
    torch.manual_seed(0)
    model = Encoder(VectorQuantizer(4, 8))
    model.linear.weight.data.mul_(20)  # a norm that has seen nothing yet leaves that as it is
    model.train(training)
    before = {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("vq.")}
    warm_up(model, [x(step) for step in range(4)], method=codeword.KMeans(steps=200))
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert all(module.training == training for module in model.modules())
    with torch.no_grad():
        rows = torch.cat([model.norm(model.linear(x(step))) for step in range(4)])
    codes = model.vq.codebook.codes
    chosen = squared_distances(rows, codes).argmin(1)
    means = torch.stack([rows[chosen == index].mean(0) for index in range(8)])
    torch.testing.assert_close(codes, means, rtol=1e-4, atol=1e-4)


def test_warm_up_leaves_masked_rows_out():
    torch.manual_seed(0)
    vq = VectorQuantizer(4, 8)
    rows = [torch.randn(50, 4) for _ in range(3)]
    masks = [torch.rand(50) < 0.6 for _ in range(3)]
    padded = [(torch.where(m[:, None], r, 1e6), m) for r, m in zip(rows, masks, strict=True)]
    warm_up(vq, padded, run=lambda model, batch: model(*batch))
    assert float(vq.codebook.codes.abs().max()) < 10


@pytest.mark.parametrize(
    ("name", "part"), [("kmeans", codeword.KMeans()), ("sample", codeword.inits.Sample())]
)
def test_warm_up_takes_its_methods_by_name(name, part):
    torch.manual_seed(0)
    vq = VectorQuantizer(5, 8)
    again = copy.deepcopy(vq)
    for quantizer, method in ((vq, name), (again, part)):
        torch.manual_seed(1)
        warm_up(quantizer, [x(0), x(1)], method=method)
    assert torch.equal(vq.codebook.codes, again.codebook.codes)


def test_warm_up_errors():
    vq = VectorQuantizer(5, 8)
    with pytest.raises(codeword.CodewordError, match="batches that can be read again"):
        warm_up(vq, iter([x()]))
    with pytest.raises(codeword.CodewordError, match="a model with a codebook, but got Linear"):
        warm_up(nn.Linear(2, 2), [x()])
    with pytest.raises(codeword.CodewordError, match="0 of 1 reached"):
        warm_up(vq, [])
    with pytest.raises(codeword.CodewordError, match="method of warm_up"):
        warm_up(vq, [x()], method="data")
    assert not vq.ready
    assert vq.training


WITHOUT = nn.Sequential(nn.Linear(5, 5))


@pytest.mark.parametrize(
    "use",
    [
        freeze,
        lambda model: disabled(model).__enter__(),
        lambda model: codeword.accumulate(model).__enter__(),
        lambda model: codeword.accumulate(model, enabled=False).__enter__(),
        lambda model: reset_moments(torch.optim.SGD(model.parameters(), 0.1), model),
        lambda model: codeword.models.resize(model, 8),
        lambda model: anneal(model, 0.5),
    ],
)
def test_a_model_without_quantizers_is_named(use):
    with pytest.raises(
        codeword.CodewordError, match="quantizer in it, but got Sequential|temperature, but got none"
    ):
        use(WITHOUT)


def test_moments_of_an_optimizer_without_the_codes():
    vq = VectorQuantizer(4, 8, **LEARNED)
    vq(torch.randn(50, 4))
    with pytest.raises(codeword.CodewordError, match="an optimizer that has the codes"):
        reset_moments(torch.optim.Adam(WITHOUT.parameters()), vq)
    reset_moments(torch.optim.Adam(vq.parameters()), vq)
    freeze(vq)
    reset_moments(
        torch.optim.Adam(WITHOUT.parameters()), vq
    )  # there is nothing to reset, as for moving averages


def test_groups_of_a_frozen_model_are_refused():
    vq = VectorQuantizer(4, 8, **LEARNED)
    vq(torch.randn(50, 4))
    freeze(vq)
    with pytest.raises(codeword.CodewordError, match="parameters that learn, but got a VectorQuantizer"):
        parameter_groups(vq, 1e-3)
    assert parameter_groups(nn.Sequential(WITHOUT, vq), 1e-3)


def test_freezing_is_all_or_nothing():
    model = nn.ModuleList([VectorQuantizer(4, 8), VectorQuantizer(4, 8)])
    model[0](torch.randn(50, 4))
    with pytest.raises(codeword.CodewordError, match="a codebook 1.codebook that has its first codes"):
        freeze(model)
    assert not model[0].codebook.frozen


@pytest.mark.parametrize("spec", ["memory6", "bits4", "ovq2x(memory6)", "rvq2x8", "fsq5-5-5-5"])
def test_what_a_frozen_quantizer_decodes_to_stays(spec):
    quantizer = codeword.from_spec(spec, features=4)
    indices = quantizer(torch.randn(50, 4)).indices
    before = quantizer.eval().decode(indices)
    freeze(quantizer)
    layer = nn.Linear(4, 4)
    optimizer = torch.optim.SGD([*layer.parameters(), *quantizer.parameters(), torch.zeros(1)], 1.0)
    for _ in range(3):
        out = quantizer.train()(layer(torch.randn(50, 4)))
        optimizer.zero_grad()
        (out.quantized.square().sum() + out.loss).backward()
        optimizer.step()
    assert torch.equal(quantizer.eval().decode(indices), before)


def test_warm_up_leaves_frozen_codebooks_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), Chain())
    first, second = model[1].first, model[1].second
    first(torch.randn(50, 4))
    freeze(first)
    before = copy.deepcopy(first.state_dict())
    warm_up(model, [x(0), x(1)])
    assert second.ready
    assert first.codebook.frozen
    assert not second.codebook.frozen
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())
    freeze(second)
    with pytest.raises(codeword.CodewordError, match="a codebook that learns, but got frozen ones alone"):
        warm_up(model, [x(0), x(1)])


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = VectorQuantizer(4, 8), VectorQuantizer(4, 8)

    def forward(self, x: torch.Tensor) -> codeword.Quantized:
        return self.second(self.first(x).quantized)
