"""The facade of quantizer-pytorch against its rules in NumPy, for each layout, rule and option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from codeword.compat import export_state_dict
from codeword.compat.quantizer_pytorch import (
    BVQ,
    Quantizer1d,
    QuantizerBlock1d,
    QuantizerChannelwise1d,
    ResidualVQ,
)
from compat.quantizer_reference import Reference, pieces_of

CHANNELS, LENGTH, SPLIT = 12, 12, 3
CLASSES = {
    "timewise": Quantizer1d,
    "channelwise": QuantizerChannelwise1d,
    "blockwise": QuantizerBlock1d,
}


def build(layout: str, groups: int, size: int, stages: int, **options: Any) -> torch.nn.Module:
    sizes = {"channels": CHANNELS, "num_groups": groups, "codebook_size": size, "num_residuals": stages}
    if layout != "timewise":
        sizes["split_size"] = SPLIT
    torch.manual_seed(5)
    return CLASSES[layout](**sizes, **options)


def reference(module: torch.nn.Module, decay: float, threshold: float, shared: bool) -> Reference:
    state = export_state_dict(module)
    tables = [v.double().numpy().copy() for k, v in state.items() if k.endswith("codebooks")]
    if shared:
        tables = tables[:1] * len(tables)
    return Reference(tables, module.rule, decay, threshold)


def documented(layout: str, indices: np.ndarray, groups: int) -> np.ndarray:
    """Indices (batch, n, heads, stages) as the document prints them."""
    if layout == "timewise":
        return indices.transpose(0, 2, 1, 3)
    if layout == "blockwise":
        return indices[:, :, 0]
    batch, _, _, stages = indices.shape
    pieces = LENGTH // SPLIT
    split = indices.reshape(batch, CHANNELS // groups, pieces, groups, stages).transpose(0, 3, 1, 2, 4)
    whole = split.reshape(batch, CHANNELS, pieces, stages)
    return whole[..., 0] if stages == 1 else whole


def check(module, model: Reference, layout: str, groups: int, x: torch.Tensor, seed: int) -> None:
    rows, places = pieces_of(layout, x.double().numpy(), SPLIT, groups)
    torch.manual_seed(seed)
    want = model(rows, module.training)
    torch.manual_seed(seed)
    y, info = module(x)
    vectors = want["y"].reshape(len(x), len(places), -1)
    whole = np.zeros(x.shape)
    for number, (channels, steps) in enumerate(places):
        shape = whole[:, channels, steps].shape
        whole[:, channels, steps] = vectors[:, number].reshape(shape)
    np.testing.assert_array_equal(info["indices"], documented(layout, want["indices"], groups))
    np.testing.assert_allclose(y.detach(), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(float(info["loss"]), want["loss"], rtol=1e-5)
    np.testing.assert_allclose(info["perplexity"], want["perplexity"].ravel(), rtol=1e-5)
    np.testing.assert_array_equal(info["replaced_codes"], want["replaced_codes"].ravel())
    if module.rule == "budget":
        budget = np.concatenate([model.memory[id(table)] for table in model.codes])
        np.testing.assert_allclose(info["budget"], budget, rtol=1e-4)


KEYS = ["indices", "loss", "perplexity", "replaced_codes"]
GRID = [
    pytest.param(
        layout, groups, stages, shared, rule, threshold, id=f"{layout}-{groups}-{stages}-{rule}{mark}"
    )
    for layout in CLASSES
    for groups, stages, shared in ((1, 1, True), (2, 3, True), (3, 2, False))
    for rule in ("ema", "budget")
    for threshold, mark in ((0.0, ""), (0.6, "-expire"))
]


@pytest.mark.parametrize(("layout", "groups", "stages", "shared", "rule", "threshold"), GRID)
def test_training_and_eval_are_those_of_the_rule(layout, groups, stages, shared, rule, threshold):
    options = {"shared_codebook": shared, "ema_decay": 0.7, "expire_threshold": threshold, "rule": rule}
    module = build(layout, groups, 9, stages, **options)
    model = reference(module, 0.7, threshold, shared)
    generator = torch.Generator().manual_seed(1)
    for step in range(4):
        check(module, model, layout, groups, torch.randn(3, CHANNELS, LENGTH, generator=generator), step)
        state = export_state_dict(module)
        for stage, table in enumerate(model.codes):
            place = f"quantize.quantizers.{stage}."
            names = {"codebooks": table}
            names |= {"budget_ema": model.memory[id(table)]} if rule == "budget" else {}
            names |= {"ema_cluster_size": model.memory[id(table)]} if rule == "ema" else {}
            for name, value in names.items():
                np.testing.assert_allclose(state[place + name], value, rtol=1e-4, atol=1e-5)
    check(module.eval(), model, layout, groups, torch.randn(3, CHANNELS, LENGTH, generator=generator), 9)


@pytest.mark.parametrize("rule", ["ema", "budget"])
@pytest.mark.parametrize("stages", [1, 3])
def test_gradients(rule, stages):
    """The output passes its gradient on as it is. In training the loss pulls at the first stage, in eval at all."""
    module = build("timewise", 2, 9, stages, rule=rule)
    x = torch.randn(3, CHANNELS, LENGTH, requires_grad=True)
    indices = module.eval()(x)[1]["indices"]
    rests = [x.detach() - module.from_ids(indices, num_residuals=n + 1) for n in range(stages)]
    for training, pull in {False: sum(rests), True: rests[0]}.items():
        y, info = module.train(training)(x)
        cotangent = torch.randn_like(y)
        (passed,) = torch.autograd.grad((y * cotangent).sum(), x, retain_graph=True)
        torch.testing.assert_close(passed, cotangent)
        (gradient,) = torch.autograd.grad(info["loss"], x)
        torch.testing.assert_close(gradient, 2 * pull / (stages * x.numel()))
    assert list(module.parameters()) == []  # codes learn without gradients


@pytest.mark.parametrize(
    ("module", "shape", "indices", "keys"),
    [
        (Quantizer1d(32, 1, 64, 2), (1, 32, 80), (1, 1, 80, 2), KEYS),
        (QuantizerChannelwise1d(32, 4, 1, 64), (1, 32, 80), (1, 32, 20), KEYS),
        (QuantizerBlock1d(32, 4, 2, 64, 2), (1, 32, 40), (1, 20, 2), [*KEYS, "budget"]),
        (
            ResidualVQ(2, features=32, num_heads=4, codebook_size=64),
            (1, 9, 32),
            (1, 4, 18),
            [*KEYS, "budget"],
        ),
        (BVQ(32, 4, 64), (1, 9, 32), (1, 4, 9), [*KEYS, "budget"]),
    ],
    ids=["timewise", "channelwise", "blockwise", "residual", "single"],
)
def test_results_are_as_the_document_prints_them(module, shape, indices, keys):
    x = torch.randn(shape)
    y, info = module.eval()(x)
    assert list(info) == keys
    assert y.shape == x.shape
    assert info["indices"].shape == indices
    assert info["loss"].shape == ()
    assert torch.equal(module.from_ids(info["indices"]), y)
    assert not info["replaced_codes"].any()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with torch.no_grad():
        module.train()(x)  # it learns by simply forwarding values
    assert any(not torch.equal(v, before[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_groups", 3),
        ("codebook_size", 17),
        ("num_residuals", 4),
        ("shared_codebook", False),
        ("expire_threshold", 0.995),
        ("ema_decay", 0.5),
        ("rule", "ema"),
    ],
)
def test_every_option_of_the_sequences_is_heard(option, value):
    plain = {"num_groups": 2, "codebook_size": 9, "num_residuals": 2}
    x = torch.randn(2, CHANNELS, LENGTH)
    states = []
    for options in (plain, plain | {option: value}):
        torch.manual_seed(5)
        module = Quantizer1d(CHANNELS, **options)
        module(x)
        states.append(export_state_dict(module))
    a, b = states
    assert a.keys() != b.keys() or any(a[k].shape != b[k].shape or not torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("layout", CLASSES)
def test_options_at_each_call(layout):
    module = build(layout, 2, 9, 3).eval()
    x = torch.randn(2, CHANNELS, LENGTH)
    y, info = module(x)
    assert torch.equal(module(x, with_info=False), y)
    for training in (False, True):
        module.train(training)
        shorter, less = module(x, num_residuals=2)
        assert less["indices"].shape[-1] == 2
        assert less["replaced_codes"].shape == (2 * (1 if layout == "blockwise" else 2),)
        assert shorter.shape == x.shape
    module = build(layout, 2, 9, 3).eval()
    assert torch.equal(module.from_ids(info["indices"], num_residuals=2), module(x, num_residuals=2)[0])


def test_the_inner_layers_can_be_read():
    module = build("timewise", 2, 9, 2, rule="budget")
    layer = module.quantize.quantizers[1]
    assert module.quantize.num_residuals == len(module.quantize.quantizers) == 2
    assert layer.codebooks.shape == (2, 9, 6)
    assert layer.budget_ema.shape == (2, 9)
    assert (layer.num_heads, layer.head_features, layer.codebook_size) == (2, 6, 9)
    assert (layer.expire_threshold, layer.ema_decay) == (0.05, 0.99)


def test_a_seed_gives_the_codes_of_the_original():
    torch.manual_seed(7)
    tables = [torch.randn(2, 9, 6) for _ in range(2)]
    after = torch.rand(())
    torch.manual_seed(7)
    module = Quantizer1d(CHANNELS, 2, 9, 2, shared_codebook=False)
    assert torch.equal(torch.rand(()), after)
    for layer, table in zip(module.quantize.quantizers, tables, strict=True):
        assert torch.equal(layer.codebooks, table)


@pytest.mark.parametrize("split_size", [1, 3, 4])
@pytest.mark.parametrize("channels", [6, 12])
def test_sizes_of_pieces(channels, split_size):
    x = torch.randn(2, channels, LENGTH)
    pieces = LENGTH // split_size
    channelwise = QuantizerChannelwise1d(channels, split_size, 3, 9)
    assert channelwise(x)[1]["indices"].shape == (2, channels, pieces)
    assert channelwise.quantize.quantizers[0].codebooks.shape == (3, 9, split_size)
    blockwise = QuantizerBlock1d(channels, split_size, 3, 9)
    assert blockwise(x)[1]["indices"].shape == (2, 3 * pieces, 1)
    assert blockwise.quantize.quantizers[0].codebooks.shape == (1, 9, channels // 3 * split_size)
