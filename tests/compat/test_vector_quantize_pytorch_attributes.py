"""What programs read from layers of vector-quantize-pytorch: options, codes and sizes, and what they set."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch

import codeword.compat.vector_quantize_pytorch as facade
from compat.test_vector_quantize_pytorch_options import defaults, rows
from compat.vector_quantize_pytorch_cases import CASES, SIZES

original = pytest.importorskip("vector_quantize_pytorch")

# Of these the original keeps something else than the option: a tensor, or what has no effect here.
OTHERWISE = {
    ("FSQ", "allowed_dtypes"),
    ("LatentQuantize", "commitment_loss_weight"),
    ("LatentQuantize", "quantization_loss_weight"),
    ("LatentQuantize", "in_place_codebook_optimizer"),
    ("ResidualFSQ", "soft_clamp_input_value"),
}
PLAIN = (bool, int, float, str, tuple, type(None))


@pytest.mark.parametrize("case", CASES)
def test_options_can_be_read_as_there(case: str) -> None:
    name = CASES[case].name
    theirs, ours = (CASES[case].build(home) for home in (original, facade))
    own = {*inspect.signature(getattr(original, name).__init__).parameters, *CASES[case].options}
    read = [
        option
        for option in own
        if hasattr(theirs, option) and (name, option) not in OTHERWISE and option != "kwargs"
    ]
    plain = {option: value for option in read if isinstance(value := getattr(theirs, option), PLAIN)}
    by_optimiser = "orthogonal_reg_weight" in CASES[case].options  # and by it alone: docs/moving
    if name == "VectorQuantize" and by_optimiser:
        plain |= {"learnable_codebook": True, "ema_update": False}
    assert {option: getattr(ours, option) for option in plain} == plain


def test_options_of_the_stacks_of_groups() -> None:
    options = {**SIZES["GroupedResidualVQ"], "groups": 2, "quantize_dropout": True, "quant_grad_frac": 0.5}
    theirs, ours = (home.GroupedResidualVQ(**options).rvqs[0] for home in (original, facade))
    for name in ("quantize_dropout", "quantize_dropout_cutoff_index", "quant_grad_frac", "diveq"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_options_of_the_codebook() -> None:
    for options in ({}, {"use_cosine_sim": True, "decay": 0.9, "threshold_ema_dead_code": 2}):
        theirs, ours = (home.VectorQuantize(8, 16, **options)._codebook for home in (original, facade))
        for name in (
            "decay",
            "eps",
            "ema_update",
            "kmeans_iters",
            "threshold_ema_dead_code",
            "use_cosine_sim",
        ):
            assert getattr(ours, name) == getattr(theirs, name)
        assert not hasattr(ours, "anything")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FSQ", {"levels": [4, 3], "orthogonal_rotation": True}),
        ("LFQ", {"codebook_size": 16, "spherical": True, "codebook_scale": 0.5}),
        ("ResidualLFQ", {"codebook_size": 16, "dim": 4, "num_quantizers": 2, "spherical": True}),
        ("ResidualFSQ", {"levels": [4, 4], "num_quantizers": 2}),
        ("ResidualVQ", {"dim": 8, "codebook_size": (16, 8)}),
        ("GroupedResidualVQ", {"dim": 8, "codebook_size": 16, "num_quantizers": 2, "groups": 2}),
        ("VectorQuantize", {"dim": 8, "codebook_size": 16, "heads": 2, "separate_codebook_per_head": True}),
    ],
)
def test_codes_can_be_read_as_there(name: str, options: dict[str, Any]) -> None:
    theirs, ours = (getattr(home, name)(**options) for home in (original, facade))
    ours.load_state_dict(theirs.state_dict())
    for attribute in ("codebook", "codebooks", "implicit_codebook"):
        if hasattr(theirs, attribute):
            expected, got = (getattr(layer, attribute) for layer in (theirs, ours))
            torch.testing.assert_close(got, expected)


def test_what_would_have_no_effect_cannot_be_set() -> None:
    vq = facade.VectorQuantize(8, 16)
    vq.decay = 0.8  # as it is
    with pytest.raises(ValueError, match="that are given when it is built, but got decay=0.9"):
        vq.decay = 0.9
    with pytest.raises(ValueError, match="build the layer with threshold_ema_dead_code"):
        vq._codebook.threshold_ema_dead_code = 2
    with pytest.raises(ValueError, match="set embed"):
        vq._codebook.cluster_size = torch.ones(1, 16)


def test_what_can_be_set_has_an_effect() -> None:
    theirs, ours = (home.LFQ(codebook_size=16, dim=4) for home in (original, facade))
    x = 0.1 * rows(1, (2, 30, 4))
    for layer in (theirs, ours):
        layer.entropy_loss_weight, layer.commitment_loss_weight, layer.diversity_gamma = 0.4, 0.3, 0.5
    torch.testing.assert_close(ours(x)[2], theirs(x)[2], rtol=1e-4, atol=1e-5)
    vq = facade.VectorQuantize(8, 16)
    vq.freeze_codebook = True
    before = vq.codebook.clone()
    vq(rows(0))
    assert torch.equal(vq.codebook, before)
    vq.freeze_codebook = False
    vq(rows(0))
    assert not torch.equal(vq.codebook, before)


@pytest.mark.parametrize("name", SIZES)
def test_a_copy_has_the_same_options(name: str) -> None:
    layer = getattr(facade, name)(**SIZES[name])
    other = copy.deepcopy(layer)
    for option, _ in defaults(name):
        assert hasattr(other, option) == hasattr(layer, option)
        if isinstance(value := getattr(layer, option, None), PLAIN):
            assert getattr(other, option, None) == value
