"""Each layer of the facade beside the original, on the same weights: equal in eval, its checkpoints load and return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import codeword
import codeword.compat.vector_quantize_pytorch as facade
from codeword.compat import export_state_dict
from compat.vector_quantize_pytorch_cases import CASES, Case, mask

original = pytest.importorskip("vector_quantize_pytorch")


@pytest.fixture(params=CASES)
def pair(request: pytest.FixtureRequest) -> tuple[Case, torch.nn.Module, torch.nn.Module]:
    """The original after two training steps, and the facade with its state."""
    case = CASES[request.param]
    torch.manual_seed(0)
    theirs = case.build(original)
    for _ in range(2):
        theirs(torch.randn(case.shape))
    ours = case.build(facade)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return case, theirs.eval(), ours.eval()


def test_equal_in_eval_on_the_same_weights(pair: tuple[Case, Any, Any]) -> None:
    case, theirs, ours = pair
    x = torch.randn(case.shape)
    expected, got = theirs(x, **case.call), ours(x, **case.call)
    if isinstance(expected, Tensor):
        assert torch.equal(got, expected)
        return
    assert len(got) == len(expected)
    _check_equal(got, expected)
    if case.decode:
        with torch.no_grad():
            decoded, wanted = (getattr(layer, case.decode)(expected[1]) for layer in (ours, theirs))
        torch.testing.assert_close(decoded, wanted, rtol=1e-5, atol=1e-5)


def _check_equal(got: Any, expected: Any) -> None:
    for mine, own in zip(got, expected, strict=True):
        if isinstance(own, tuple | list):
            _check_equal(mine, own)
        elif own is None:
            assert mine is None
        elif isinstance(own, dict):
            assert sorted(mine) == sorted(own)
            _check_equal([mine[key] for key in own], own.values())
        elif mine.is_floating_point() is False and own.is_floating_point():
            assert torch.equal(mine.to(own.dtype), own)
        elif own.is_floating_point():
            torch.testing.assert_close(mine, own, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(mine, own.long())


def test_the_state_goes_back_as_it_came(pair: tuple[Case, Any, Any]) -> None:
    case, theirs, ours = pair
    state, back = theirs.state_dict(), export_state_dict(ours)
    assert sorted(back) == sorted(state)
    for key, tensor in state.items():
        if not (_learns_by_gradient(ours) and key.endswith("embed_avg")):  # sums that nothing reads
            torch.testing.assert_close(back[key], tensor, rtol=1e-6, atol=1e-6)
    case.build(original).load_state_dict(back, strict=True)


def _learns_by_gradient(layer: Any) -> bool:
    return any(name.endswith("codes") for name, _ in layer.named_parameters())


def test_own_state_is_kept_whole(pair: tuple[Case, Any, Any]) -> None:
    case, _, ours = pair
    copy = case.build(facade)
    copy.load_state_dict(ours.state_dict(), strict=True)
    for key, tensor in ours.state_dict().items():
        assert torch.equal(copy.state_dict()[key], tensor)


def test_a_layer_inside_a_model_loads_as_well() -> None:
    def model(library: Any) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Linear(8, 8), library.ResidualVQ(dim=8, num_quantizers=2, codebook_size=16)
        )

    theirs, ours = model(original), model(facade)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(ours.eval()(x)[0], theirs.eval()(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"codebook_size": 32}, r"_codebook\.embed' \(1, 16, 8\)"),
        ({"codebook_dim": 4}, r"project_in\.weight"),
    ],
)
def test_a_checkpoint_of_another_configuration_says_which_key(change: dict[str, int], named: str) -> None:
    state = original.VectorQuantize(8, 16).state_dict()
    with pytest.raises(RuntimeError, match=named):
        facade.VectorQuantize(**{"dim": 8, "codebook_size": 16, **change}).load_state_dict(state)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: facade.VectorQuantize(8, 16, affine_param=True), "affine_param"),
        (
            lambda: facade.VectorQuantize(8, 16, in_place_codebook_optimizer=torch.optim.SGD),
            "learnable_codebook",
        ),
        (lambda: facade.VectorQuantize(8, 16, straight_through=True, rotation_trick=True), "rotation_trick"),
        (lambda: facade.VectorQuantize(8, 16, sync_update_v=1.0), "learnable_codebook"),
        (
            lambda: facade.VectorQuantize(8, 16, rotation_trick=True, directional_reparam=True),
            "rotation_trick",
        ),
        (lambda: facade.VectorQuantize(8, 16, scale=3.0), "scale"),
        (
            lambda: facade.VectorQuantize(8, 16, use_cosine_sim=True, learnable_codebook=True),
            "use_cosine_sim",
        ),
        (
            lambda: facade.ResidualFSQ(levels=[5, 5], num_quantizers=2, soft_clamp_input_value=2.0),
            "soft_clamp_input_value",
        ),
        (
            lambda: facade.ResidualFSQ(levels=[5, 5], num_quantizers=2, keep_num_codebooks_dim=True),
            "keep_num_codebooks_dim",
        ),
        (lambda: facade.ResidualVQ(dim=8, num_quantizers=2, codebook_size=4, heads=2), "heads"),
        (lambda: facade.ResidualVQ(dim=8, codebook_size=4), "num_quantizers"),
        (lambda: facade.GroupedResidualVQ(dim=9, groups=2, num_quantizers=2, codebook_size=4), "dim"),
        (lambda: facade.FSQ([8, 2]), "preserve_symmetry"),
        (lambda: facade.FSQ([8, 5], noise_dropout=0.5), "noise_dropout"),
        (lambda: facade.LFQ(codebook_size=15), "power of 2"),
        (lambda: facade.SimVQ(8, 16, frozen_width=4), "frozen_width"),
        (lambda: facade.VectorQuantize(8, 16)(torch.randn(2, 3, 8), top_k=2), "top_k"),
        (lambda: facade.VectorQuantize(8, 16, heads=2)(torch.randn(2, 3, 8), topk=2), "one head"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(build: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        build()


@pytest.mark.parametrize(
    ("options", "part", "expected"),
    [
        ({"kmeans_init": True, "kmeans_iters": 4}, "codebook.update.init.steps", 4),
        ({"threshold_ema_dead_code": 2}, "codebook.update.revival.count", 2),
        ({"threshold_ema_dead_code": 2}, "codebook.candidates.shape", (16, 8)),
        ({"kmeans_init": True, "sync_kmeans": False}, "sync", True),
        ({"sync_codebook": False}, "sync", False),
        ({"sync_codebook": True}, "sync", True),
        ({"directional_reparam": True, "directional_reparam_variance": 0.04}, "estimator.noise", 0.2),
        ({"stochastic_sample_codes": True, "sample_codebook_temp": 0.1}, "estimator.temperature", 0.1),
        ({"stochastic_sample_codes": True, "sample_codebook_temp": 0}, "estimator", codeword.Rotation()),
        ({"rotation_trick": True}, "estimator", codeword.Rotation()),
        ({"rotation_trick": False}, "estimator", codeword.StraightThrough()),
        ({"commitment_weight": 0.0}, "penalties", ()),
        ({"orthogonal_reg_weight": 3, "orthogonal_reg_active_codes_only": True}, "penalties.1.active", True),
    ],
)
def test_options_choose_parts(options: dict[str, Any], part: str, expected: object) -> None:
    value: Any = facade.VectorQuantize(8, 16, **options).quantizer
    for name in part.split("."):
        value = value[int(name)] if name.isdigit() else getattr(value, name)
    assert value == expected


def test_masks_and_lengths_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="mask or lens"):
        facade.VectorQuantize(8, 16)(torch.randn(4, 50, 8), mask=mask(), lens=torch.tensor([1, 2, 3, 4]))
