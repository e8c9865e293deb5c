"""Options of vector-quantize-pytorch: none is refused at its default; those of learning and of calls train as there."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import codeword.compat.vector_quantize_pytorch as facade
from codeword.compat import export_state_dict
from compat.vector_quantize_pytorch_cases import SIZES, TRAINED, steps_itself

original = pytest.importorskip("vector_quantize_pytorch")

INNER = {  # whose options go on to which layer
    "ResidualVQ": "VectorQuantize",
    "GroupedResidualVQ": "ResidualVQ",
    "ResidualSimVQ": "SimVQ",
    "ResidualFSQ": "FSQ",
    "GroupedResidualFSQ": "ResidualFSQ",
    "ResidualLFQ": "LFQ",
    "GroupedResidualLFQ": "ResidualLFQ",
    "RandomProjectionQuantizer": "VectorQuantize",
}
TAKEN = {  # what a layer gives to its inner one itself, so that nobody else can
    "ResidualFSQ": {"preserve_symmetry"},
    "ResidualVQ": {"accept_image_fmap", "return_zeros_for_masked_padding"},
    "RandomProjectionQuantizer": {"heads", "separate_codebook_per_head", "use_cosine_sim", "codebook_dim"},
}


def defaults(name: str) -> Iterator[tuple[str, Any]]:
    """The options of a layer that have a default, and those that it hands on."""
    own = inspect.signature(getattr(original, name).__init__).parameters.values()
    yield from ((p.name, p.default) for p in own if p.default is not p.empty and p.kind is not p.VAR_KEYWORD)
    if name in INNER:
        named = {p.name for p in own} | TAKEN.get(name, set()) | set(SIZES[name])
        yield from (pair for pair in defaults(INNER[name]) if pair[0] not in named)


DEFAULTS = [(name, option, value) for name in SIZES for option, value in defaults(name)]


@pytest.mark.parametrize(
    ("name", "option", "value"), DEFAULTS, ids=lambda part: getattr(part, "__name__", str(part))[:40]
)
def test_an_option_at_its_default_is_accepted(name: str, option: str, value: Any) -> None:
    if option in SIZES[name]:
        return
    layer = getattr(facade, name)(**{**SIZES[name], option: value})
    assert isinstance(layer, nn.Module)


@pytest.mark.parametrize("name", SIZES)
def test_all_defaults_at_once_are_accepted(name: str) -> None:
    options = {option: value for option, value in defaults(name) if option not in SIZES[name]}
    layer = getattr(facade, name)(**SIZES[name], **options)
    layer(torch.randn(2, 8, 8))


@pytest.mark.parametrize("name", SIZES)
def test_a_call_at_its_defaults_is_accepted(name: str) -> None:
    parameters = inspect.signature(getattr(original, name).forward).parameters.values()
    options = {p.name: p.default for p in parameters if p.default is not p.empty}
    layer = getattr(facade, name)(**SIZES[name])
    layer(torch.randn(2, 8, 8), **options)


@pytest.mark.parametrize("name", SIZES)
def test_positions_of_arguments_are_the_originals(name: str) -> None:
    def positional(call: Callable[..., Any]) -> list[str]:
        parameters = inspect.signature(call).parameters.values()
        return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    for method in ("__init__", "forward"):
        theirs, ours = (positional(getattr(getattr(home, name), method)) for home in (original, facade))
        assert theirs[: len(ours)] == ours or theirs == ours[: len(theirs)]


@pytest.mark.parametrize("name", facade.__all__)
def test_a_layer_is_in_the_module_that_the_original_has_it_in(name: str) -> None:
    module = getattr(original, name).__module__.partition(".")[2]
    assert getattr(importlib.import_module(f"{facade.__name__}.{module}"), name) is getattr(facade, name)


# Three steps beside the original ------------------------------------------------------------------------------


def rows(seed: int, shape: tuple[int, ...] = (4, 60, 8)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.5


def twins(name: str, shape: tuple[int, ...] = (4, 60, 8), **options: Any) -> tuple[Any, Any]:
    """The original after a step, and the facade with its state."""
    torch.manual_seed(0)
    theirs = getattr(original, name)(**{**SIZES[name], **options})
    theirs(rows(0, shape))
    torch.manual_seed(0)
    ours = getattr(facade, name)(**{**SIZES[name], **options})
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs.train(), ours.train()


def check_close(got: Any, expected: Any) -> None:
    if isinstance(expected, tuple | list):
        for mine, own in zip(got, expected, strict=True):
            check_close(mine, own)
    elif isinstance(expected, dict):
        assert sorted(got) == sorted(expected)
        check_close([got[key] for key in expected], list(expected.values()))
    elif expected is None:
        assert got is None
    elif got.is_floating_point() or not expected.is_floating_point():
        expected = expected if expected.is_floating_point() else expected.long()
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(got.to(expected.dtype), expected)  # numbers of levels


@pytest.mark.parametrize("case", TRAINED)
def test_three_steps_are_the_originals(case: str) -> None:
    name, options, call, *rest = TRAINED[case]
    shape = rest[0] if rest else (4, 60, 8)
    theirs, ours = twins(name, shape, **options)
    for step in range(1, 4):
        theirs.zero_grad()  # an optimiser of the codes would take the gradient of the loss for its own
        ours.zero_grad()
        x, y = rows(step, shape).requires_grad_(), rows(step, shape).requires_grad_()
        expected, got = theirs(x, **call), ours(y, **call)
        check_close(got, expected)
        for result in (expected, got):
            terms = result[0] if isinstance(result[0], tuple) else result[:3]  # without a breakdown
            if "Residual" in name:
                terms = terms[2:]  # theirs multiplies the gradient of the output: see docs/moving
            floats = [part for part in terms if isinstance(part, Tensor) and part.requires_grad]
            if floats:
                sum(part.sum() for part in floats).backward()
        if not {"commitment_use_cross_entropy_loss", "implicit_neural_codebook"} & set(
            options
        ):  # see docs/moving
            check_close(*(zeros_for(at) for at in (y, x)))
    state = export_state_dict(ours)
    by_gradient = options.get(
        "learnable_codebook", "vq_bridge" in options or "implicit_neural_codebook" in options
    )
    unread = by_gradient or (options.get("ema_update") is False and "threshold_ema_dead_code" in options)
    for key, tensor in theirs.state_dict().items():
        if not (unread and key.endswith("embed_avg")):  # sums that nothing reads
            torch.testing.assert_close(state[key], tensor, rtol=1e-4, atol=1e-4)
    gradients = {key: p.grad for key, p in theirs.named_parameters() if p.grad is not None}
    compare_gradients(ours, gradients)


def zeros_for(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad


def compare_gradients(ours: Any, expected: dict[str, Tensor]) -> None:
    """The norms of all gradients, which do not depend on names."""
    found = [p.grad for p in ours.parameters() if p.grad is not None]
    total = sum(float(g.square().sum()) for g in expected.values())
    assert sum(float(g.square().sum()) for g in found) == pytest.approx(total, rel=1e-3, abs=1e-8)


def test_updates_that_wait_are_those_of_one_batch() -> None:
    theirs, ours = twins("VectorQuantize")
    for layer in (theirs, ours):
        before = layer.codebook.clone()
        layer(rows(1), accum_ema_update=True)
        assert torch.equal(layer.codebook, before)
        layer(rows(2))
    torch.testing.assert_close(ours.codebook, theirs.codebook, rtol=1e-4, atol=1e-4)


def test_averages_wait_until_they_are_told_to() -> None:
    theirs, ours = twins("VectorQuantize", manual_ema_update=True)
    for layer in (theirs, ours):
        before = layer.codebook.clone()
        layer(rows(1))
        assert torch.equal(layer.codebook, before)
        layer._codebook.update_ema()
        layer(rows(2))
    torch.testing.assert_close(ours.codebook, theirs.codebook, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="manual_ema_update"):
        facade.VectorQuantize(8, 16)._codebook.update_ema()


def test_steps_of_the_codes_wait_until_they_are_told_to() -> None:
    theirs, ours = twins("VectorQuantize", **steps_itself(manual=True))
    theirs._codebook.embed.grad = None  # of the step before they were twins
    for layer in (theirs, ours):
        before = layer.codebook.detach().clone()
        layer(rows(1))
        assert torch.equal(layer.codebook, before)
        layer.update_in_place_optimizer()
        assert not torch.equal(layer.codebook, before)
    torch.testing.assert_close(ours.codebook, theirs.codebook, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["ResidualVQ", "ResidualFSQ", "ResidualLFQ", "ResidualSimVQ"])
def test_how_many_stages_stay(name: str) -> None:
    options = {"num_quantizers": 7, "quantize_dropout": True, "quantize_dropout_multiple_of": 3}
    many = rows(0, (64, 2, 8))
    for cutoff, expected in ((0, {3, 6, 7}), (3, {6, 7})):
        sizes = {**SIZES[name], **options, "quantize_dropout_cutoff_index": cutoff}
        ours, theirs = getattr(facade, name)(**sizes), getattr(original, name)(**sizes)
        assert set((ours(many)[1] >= 0).sum(-1).flatten().tolist()) == expected
        calls = [theirs(many[:1, :1], rand_quantize_dropout_fixed_seed=seed) for seed in range(30)]
        drawn = {int((call[1] >= 0).sum()) for call in calls}
        assert drawn == expected
        fixed = [(ours(many, rand_quantize_dropout_fixed_seed=5)[1] >= 0).sum(-1) for _ in range(2)]
        assert torch.equal(*fixed)


def test_groups_leave_out_the_same_stages() -> None:
    ours = facade.GroupedResidualVQ(**SIZES["GroupedResidualVQ"], groups=2, quantize_dropout=True)
    one, other = (ours(rows(0, (64, 2, 8)))[1] >= 0).sum(-1)
    assert torch.equal(one, other)
    assert len(one.unique()) == 3


def test_beams_find_a_better_sum_than_one_search() -> None:
    layers = [
        facade.ResidualVQ(**SIZES["ResidualVQ"], **beams)
        for beams in ({}, {"beam_size": 4}, {"beam_size": 1, "eval_beam_size": 4})
    ]
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    x = rows(1)
    plain, beamed, late = ((x - layer(x)[0]).square().mean() for layer in layers)
    assert beamed < plain == late
    layers[2].load_state_dict(layers[0].state_dict())
    plain, late = ((x - layer.eval()(x)[0]).square().mean() for layer in (layers[0], layers[2]))
    assert late < plain
    again = layers[0](x, beam_size=4)
    assert torch.equal(again[1], layers[2](x)[1])


def test_codes_without_indices() -> None:
    fsq = facade.FSQ([4] * 40, return_indices=False, num_codebooks=2)
    x = rows(0, (2, 5, 80))
    quantized, indices = fsq(x)
    expected, _ = original.FSQ([4] * 16, return_indices=False)(x[..., :16])
    assert indices is None
    assert torch.equal(quantized[..., :16], expected)


def test_predicted_codes_of_heads() -> None:
    torch.manual_seed(0)
    theirs = original.VectorQuantize(8, 16, heads=2, codebook_dim=3)
    ours = facade.VectorQuantize(8, 16, heads=2, codebook_dim=3)
    ours.load_state_dict(theirs.state_dict())
    wanted = torch.randint(16, (4, 60, 2))
    loss, expected = (layer.eval()(rows(1), indices=wanted)[1] for layer in (ours, theirs))
    torch.testing.assert_close(loss, expected)
    wanted[:, :10] = -1
    assert ours(rows(1), indices=wanted)[0].shape == (4, 60, 8)


# What programs reach for --------------------------------------------------------------------------------------


def test_codebooks_can_be_read_and_set() -> None:
    codes = torch.randn(2, 16, 8)
    vq = facade.VectorQuantize(8, 16)
    vq.codebook = codes[0]
    assert torch.equal(vq._codebook.embed, codes[:1])
    vq._codebook.embed = codes[1:]
    assert torch.equal(vq.codebook, codes[1])
    vq._codebook.embed.data.copy_(codes[:1])
    assert torch.equal(vq.codebook, codes[0])
    assert vq._codebook.cluster_size.shape == (1, 16)
    assert vq._codebook.embed_avg.shape == (1, 16, 8)
    assert bool(vq._codebook.initted)
    rvq = facade.ResidualVQ(**SIZES["ResidualVQ"])
    rvq.layers[1].codebook = codes[0]
    assert torch.equal(rvq.codebooks[1], codes[0])
    assert [layer.codebook_size for layer in rvq.layers] == [16] * 3
    assert torch.equal(rvq.layers[1]._codebook.embed[0], codes[0])
    assert not any("layers" in key for key in rvq.state_dict())


@pytest.mark.parametrize("name", SIZES)
def test_attributes_are_the_originals(name: str) -> None:
    torch.manual_seed(0)
    theirs, ours = (getattr(home, name)(**SIZES[name]) for home in (original, facade))
    for attribute in ("codebook_size", "num_codebooks", "num_quantizers", "dim", "heads", "codebook_dim"):
        if hasattr(theirs, attribute):
            assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    for attribute in ("codebook", "codebooks", "implicit_codebook", "layers", "rvqs", "_levels", "_basis"):
        if hasattr(theirs, attribute):
            mine, own = getattr(ours, attribute), getattr(theirs, attribute)
            assert len(mine) == len(own), attribute
            if isinstance(own, Tensor):
                assert mine.shape == own.shape
                if "VQ" not in name and "Vector" not in name:
                    torch.testing.assert_close(mine.to(own.dtype), own)


# Layers of another kind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("act", ["tanh", "normal"])
def test_perturbed_numbers_are_distributed_as_there(rate: float, act: str) -> None:
    options = {"levels": [8, 5, 4], "quantize_rate": rate, "act_name": act, "vector_norm": "var"}
    z = torch.tensor([0.3, -1.2, 2.5]).expand(1, 40000, 3)
    layers = [home.FSP(**options).train() for home in (original, facade)]
    theirs, ours = (layer(z) for layer in layers)
    assert torch.equal(ours[1], theirs[1].long())
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-4, atol=1e-5)
    for quantile in (0.02, 0.2, 0.5, 0.8, 0.98):
        found, expected = (out[0][0].quantile(quantile, 0) for out in (ours, theirs))
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    moved, expected = (out[3].get("p_accept_prob", 0.0) for out in (ours, theirs))
    assert float(moved) == pytest.approx(float(expected), abs=0.02)
    x, y = (z[:, :5].clone().requires_grad_() for _ in range(2))
    for layer, at in zip(layers, (x, y), strict=True):
        layer(at)[0].sum().backward()
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-4, atol=1e-5)


def test_bits_are_mapped_as_there() -> None:
    theirs, ours = original.BinaryMapper(bits=4), facade.BinaryMapper(bits=4)
    assert list(ours.state_dict()) == list(export_state_dict(ours)) == []
    logits = rows(0, (3, 7, 4))
    for call in ({"deterministic": True}, {"deterministic": True, "return_indices": True}):
        check_close(ours(logits, **call), theirs(logits, **call))
    check_close(ours.binary_entropy(logits), theirs.binary_entropy(logits))
    codes = torch.arange(21).view(3, 7) % 16
    for call in ({"indices": codes}, {"one_hot": ours(logits)[0]}, {"indices": codes, "sum_bits": False}):
        check_close(ours.log_prob(logits, **call), theirs.log_prob(logits, **call))
    for threshold in (0.0, 0.7):
        layers = [home.BinaryMapper(4, threshold) for home in (original, facade)]
        check_close(*(layer(3 * logits)[1] for layer in layers))
        check_close(*(layer(3 * logits, reduce_aux_kl_loss=False)[1] for layer in layers))
    x, y = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    for layer, at in ((theirs, x), (ours, y)):
        (layer(at)[0] * torch.arange(16.0).sin()).sum().backward()
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-4, atol=1e-6)
    many = torch.tensor([1.0, -0.5, 0.0, 2.0]).expand(40000, 4)
    drawn = ours.eval()(many, temperature=0.5, return_indices=True)[1]
    shares = torch.stack([(drawn >> place) & 1 for place in range(4)], 1).float().mean(0)
    torch.testing.assert_close(shares, torch.sigmoid(2 * many[0]), rtol=0, atol=0.01)


def test_genes_are_bits_and_evolve() -> None:
    torch.manual_seed(0)
    nets = nn.Linear(6, 8), nn.Linear(8, 6)
    theirs, ours = (home.EvoLFQ(*nets, dim=8, codebook_size=256, pop_size=20) for home in (original, facade))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 5, 6)
    check_close(tuple(ours.eval()(x)), tuple(theirs.eval()(x)))
    assert torch.equal(ours.encode(x), theirs.encode(x))
    assert torch.equal(ours.encode(x, return_signs=True), theirs.encode(x, return_signs=True))
    check_close(ours.decode_bits(ours.encode(x)), theirs.decode_bits(ours.encode(x)))
    assert torch.equal(ours.init_population_from_data(x[:1], mutation_rate=0.0)[7], ours.encode(x)[0])
    share = ours.mutate(torch.zeros(1000, 5, 8), mutation_rate=0.1).mean()
    assert float(share) == pytest.approx(0.1, abs=0.01)
    chosen = ours.tournament_selection(torch.arange(20.0)[:, None], torch.arange(20.0), tournament_size=3)
    assert chosen.shape == (20, 1)
    for is_sign in (False, True):
        found = list(
            ours.evolve(
                lambda decoded, bits: bits.flatten(1).sum(1) + 0 * decoded.sum((1, 2)),
                shape=(5, 8),
                generations=120,
                is_sign=is_sign,
                return_best_decoded=True,
                batch_size=7,
            )
        )
        best = [result.best_fitness for result in found]
        assert best == sorted(best)  # the best goes on as it is
        assert best[-1] == 40
        assert found[-1].best_decoded.shape == (5, 6)
        assert found[-1].pop_bits.unique().tolist() == ([-1, 1] if is_sign else [0, 1])
