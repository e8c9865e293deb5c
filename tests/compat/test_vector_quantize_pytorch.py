"""Each layer of the facade beside the original, on the same weights: equal in eval, its checkpoints load and return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import codeword
import codeword.compat.vector_quantize_pytorch as facade
from codeword.compat import export_state_dict

original = pytest.importorskip("vector_quantize_pytorch")

SEQUENCE, IMAGE, CHANNELS, VIDEO = (4, 50, 8), (2, 8, 4, 5), (4, 8, 50), (2, 8, 3, 4, 5)
OUTPUT, CODES = "get_output_from_indices", "indices_to_codes"


@dataclass(frozen=True)
class Case:
    """A layer with one documented option, and how its indices decode."""

    name: str
    options: dict[str, Any]
    shape: tuple[int, ...] = SEQUENCE
    decode: str | None = None
    call: dict[str, Any] = field(default_factory=dict)

    def build(self, library: Any) -> torch.nn.Module:
        layer: torch.nn.Module = getattr(library, self.name)(**self.options)
        return layer


def _vq(
    decode: str | None = OUTPUT, shape: tuple[int, ...] = SEQUENCE, call: Any = None, **options: Any
) -> Case:
    return Case("VectorQuantize", {"dim": 8, "codebook_size": 16, **options}, shape, decode, call or {})


def _rvq(name: str = "ResidualVQ", decode: str | None = OUTPUT, call: Any = None, **options: Any) -> Case:
    sizes = {"dim": 8, "num_quantizers": 3, "codebook_size": 16, **options}
    return Case(name, sizes, SEQUENCE, decode, call or {})


def _fsq(**options: Any) -> Case:
    return Case("FSQ", {"levels": [8, 5, 5], "dim": 8, **options}, decode=CODES)


def _fsp(**options: Any) -> Case:
    return Case("FSP", {"levels": [8, 5, 5], "dim": 8, **options}, decode=CODES)


def _rfsq(name: str = "ResidualFSQ", call: Any = None, **options: Any) -> Case:
    sizes = {"levels": [8, 5, 5, 3], "num_quantizers": 3, "dim": 8, **options}
    return Case(name, sizes, decode=OUTPUT, call=call or {})


def _lfq(call: Any = None, decode: str | None = CODES, **options: Any) -> Case:
    return Case(
        "LFQ", {"codebook_size": 16, "dim": 8, **options}, (4, 50, options.get("dim", 8)), decode, call or {}
    )


def _latent(**options: Any) -> Case:
    sizes = {"levels": [4, 5, 6, 7, 8, 4, 3, 5], "dim": 8, **options}
    return Case("LatentQuantize", sizes, (2, 8, 6, 5), CODES)


def _scales(
    shape: tuple[int, ...] = (4, 8, 6), call: Any = None, decode: str | None = OUTPUT, **options: Any
) -> Case:
    sizes = {"dim": 8, "codebook_size": 16, "scales": [1, 2, 6], "kmeans_init": False, **options}
    return Case("HierarchicalVQ", sizes, shape, decode, call or {})


def _rlfq(name: str = "ResidualLFQ", call: Any = None, **options: Any) -> Case:
    sizes = {"dim": 8, "num_quantizers": 3, "codebook_size": 256, **options}
    shape = (4, 50, sizes["dim"])
    return Case(name, sizes, shape, OUTPUT, call or {})


def _mask() -> Tensor:
    return torch.rand(4, 50, generator=torch.Generator().manual_seed(3)) > 0.3


def _labels(*heads: int) -> Tensor:
    return torch.randint(16, (4, 50, *heads), generator=torch.Generator().manual_seed(4))


CASES = {
    "vq": _vq(),
    "vq decay": _vq(decay=0.9),
    "vq eps": _vq(eps=1e-3),
    "vq freeze_codebook": _vq(freeze_codebook=True),
    "vq kmeans_init": _vq(kmeans_init=True, kmeans_iters=4),
    "vq codebook_dim": _vq(codebook_dim=4),
    "vq use_cosine_sim": _vq(use_cosine_sim=True),
    "vq use_cosine_sim, codebook_dim": _vq(use_cosine_sim=True, codebook_dim=4),
    "vq threshold_ema_dead_code": _vq(threshold_ema_dead_code=2),
    "vq commitment_weight": _vq(commitment_weight=0.0),
    "vq rotation_trick": _vq(rotation_trick=False),
    "vq directional_reparam": _vq(directional_reparam=True, threshold_ema_dead_code=2),
    "vq directional_reparam_variance": _vq(
        directional_reparam=True, threshold_ema_dead_code=2, directional_reparam_variance=1e-3
    ),
    "vq orthogonal_reg_weight": _vq(orthogonal_reg_weight=10),
    "vq orthogonal_reg_active_codes_only": _vq(
        orthogonal_reg_weight=1, orthogonal_reg_active_codes_only=True
    ),
    "vq orthogonal_reg_max_codes": _vq(orthogonal_reg_weight=1, orthogonal_reg_max_codes=8),
    "vq stochastic_sample_codes": _vq(stochastic_sample_codes=True, rotation_trick=False),
    "vq sample_codebook_temp": _vq(stochastic_sample_codes=True, sample_codebook_temp=0.1),
    "vq sync_codebook": _vq(sync_codebook=False),
    "vq learnable_codebook": _vq(learnable_codebook=True, ema_update=False),
    "vq heads": _vq(decode=None, heads=2, codebook_dim=4),
    "vq heads, other width": _vq(decode=None, heads=2, codebook_dim=3),
    "vq separate_codebook_per_head": _vq(heads=2, codebook_dim=3, separate_codebook_per_head=True),
    "vq channel_last": _vq(shape=CHANNELS, channel_last=False, decode="get_codes_from_indices"),
    "vq accept_image_fmap": _vq(shape=IMAGE, accept_image_fmap=True, decode="get_codes_from_indices"),
    "vq accept_3d_fmap": _vq(shape=VIDEO, accept_3d_fmap=True, decode="get_codes_from_indices"),
    "vq image, heads": _vq(shape=IMAGE, accept_image_fmap=True, heads=2, codebook_dim=4, decode=None),
    "vq mask": Case("VectorQuantize", {"dim": 8, "codebook_size": 16}, call={"mask": _mask()}),
    "vq lens": Case(
        "VectorQuantize", {"dim": 8, "codebook_size": 16}, call={"lens": torch.tensor([3, 50, 20, 1])}
    ),
    "vq layernorm_after_project_in": _vq(codebook_dim=4, layernorm_after_project_in=True),
    "vq layernorm, heads": _vq(decode=None, heads=2, codebook_dim=3, layernorm_after_project_in=True),
    "vq commitment_use_cross_entropy_loss": _vq(commitment_use_cross_entropy_loss=True),
    "vq codebook_diversity_loss_weight": _vq(codebook_diversity_loss_weight=1.0),
    "vq straight_through": _vq(
        straight_through=True, rotation_trick=False, stochastic_sample_codes=True, sample_codebook_temp=0.1
    ),
    "vq ema_update": _vq(ema_update=False),
    "vq manual_ema_update": _vq(manual_ema_update=True),
    "vq vq_bridge": _vq(decode=None, vq_bridge=torch.nn.Linear(8, 8)),
    "vq in_place_codebook_optimizer": _vq(
        learnable_codebook=True, ema_update=False, in_place_codebook_optimizer=lambda p: torch.optim.SGD(p, 1)
    ),
    "vq manual_in_place_optimizer_update": _vq(
        learnable_codebook=True,
        ema_update=False,
        in_place_codebook_optimizer=torch.optim.Adam,
        manual_in_place_optimizer_update=True,
    ),
    "vq route_gradients_to_input": _vq(route_gradients_to_input=False),
    "vq return_zeros_for_masked_padding": Case(
        "VectorQuantize",
        {"dim": 8, "codebook_size": 16, "return_zeros_for_masked_padding": False},
        call={"mask": _mask()},
    ),
    "vq topk": _vq(call={"topk": 3}, decode="get_codes_from_indices"),
    "vq topk, cosine": _vq(call={"topk": 3}, use_cosine_sim=True, decode=None),
    "vq topk, image": _vq(call={"topk": 2}, shape=IMAGE, accept_image_fmap=True, decode=None),
    "vq topk, channel_last": _vq(call={"topk": 2}, shape=CHANNELS, channel_last=False, decode=None),
    "vq topk, mask": Case(
        "VectorQuantize", {"dim": 8, "codebook_size": 16}, call={"mask": _mask(), "topk": 2}
    ),
    "vq indices": _vq(call={"indices": _labels()}, decode=None),
    "vq indices, cosine": _vq(call={"indices": _labels()}, decode=None, use_cosine_sim=True),
    "vq return_loss_breakdown": _vq(
        call={"return_loss_breakdown": True}, decode=None, orthogonal_reg_weight=1.0
    ),
    "vq freeze_codebook of a call": _vq(call={"freeze_codebook": True}),
    "vq sample_codebook_temp of a call": _vq(call={"sample_codebook_temp": 0.5}),
    "vq one token": Case("VectorQuantize", {"dim": 8, "codebook_size": 16}, (5, 8)),
    "rvq": _rvq(),
    "rvq codebook_dim": _rvq(codebook_dim=4),
    "rvq return_all_codes": _rvq(call={"return_all_codes": True}),
    "rvq mask": _rvq(call={"mask": _mask()}, decode=None),
    "rvq shared_codebook": _rvq(shared_codebook=True, stochastic_sample_codes=True, sample_codebook_temp=0.1),
    "rvq kmeans_init": _rvq(kmeans_init=True, kmeans_iters=10),
    "rvq use_cosine_sim": _rvq(use_cosine_sim=True),
    "rvq quantize_dropout": _rvq(quantize_dropout=True),
    "rvq quantize_dropout_cutoff_index": _rvq(quantize_dropout=True, quantize_dropout_cutoff_index=1),
    "rvq quantize_dropout_multiple_of": _rvq(quantize_dropout=True, quantize_dropout_multiple_of=2),
    "rvq quant_grad_frac": _rvq(quant_grad_frac=0.0),
    "rvq layernorm": _rvq(return_zeros_for_masked_padding=False, call={"mask": _mask()}, decode=None),
    "rvq codebook_size": _rvq(num_quantizers=None, codebook_size=(16, 8, 4)),
    "grouped rvq": _rvq("GroupedResidualVQ", groups=2),
    "grouped rvq return_all_codes": _rvq("GroupedResidualVQ", groups=2, call={"return_all_codes": True}),
    "grouped rvq mask": _rvq("GroupedResidualVQ", groups=2, call={"mask": _mask()}, decode=None),
    "simvq": Case("SimVQ", {"dim": 8, "codebook_size": 16}, decode=CODES),
    "simvq rotation_trick": Case(
        "SimVQ", {"dim": 8, "codebook_size": 16, "rotation_trick": False}, decode=CODES
    ),
    "simvq channel_first": Case(
        "SimVQ", {"dim": 8, "codebook_size": 16, "channel_first": True}, IMAGE, CODES
    ),
    "simvq weights": Case(
        "SimVQ",
        {
            "dim": 8,
            "codebook_size": 16,
            "input_to_quantize_commit_loss_weight": 0.5,
            "commitment_weight": 2.0,
        },
    ),
    "simvq codebook_transform": Case(
        "SimVQ",
        {
            "dim": 8,
            "codebook_size": 16,
            "codebook_transform": torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 8)),
        },
        decode=CODES,
    ),
    "simvq frozen_codebook_dim": Case(
        "SimVQ", {"dim": 8, "codebook_size": 16, "frozen_codebook_dim": 3}, decode=CODES
    ),
    "simvq init_fn": Case("SimVQ", {"dim": 8, "codebook_size": 16, "init_fn": torch.sin}, decode=CODES),
    "residual simvq quantize_dropout_multiple_of": _rvq(
        "ResidualSimVQ", quantize_dropout=True, quantize_dropout_multiple_of=2
    ),
    "residual simvq": _rvq("ResidualSimVQ", rotation_trick=True),
    "residual simvq return_all_codes": _rvq("ResidualSimVQ", call={"return_all_codes": True}),
    "residual simvq channel_first": Case(
        "ResidualSimVQ",
        {"dim": 8, "num_quantizers": 3, "codebook_size": 16, "channel_first": True},
        IMAGE,
        OUTPUT,
        {"return_all_codes": True},
    ),
    "fsq": Case("FSQ", {"levels": [8, 5, 4, 3], "num_codebooks": 2}, decode=CODES),
    "fsq dim": Case("FSQ", {"levels": [8, 5, 5], "dim": 8}, decode=CODES),
    "fsq image": Case("FSQ", {"levels": [8, 5, 5], "dim": 8}, IMAGE, CODES),
    "fsq channel_first": Case("FSQ", {"levels": [8, 5, 5], "dim": 8, "channel_first": True}, CHANNELS, CODES),
    "fsq keep_num_codebooks_dim": Case(
        "FSQ", {"levels": [8, 5], "dim": 8, "keep_num_codebooks_dim": True}, decode=CODES
    ),
    "fsq preserve_symmetry": Case(
        "FSQ", {"levels": [8, 2, 5], "dim": 8, "preserve_symmetry": True}, decode=CODES
    ),
    "fsq projection_has_bias": _fsq(projection_has_bias=False),
    "fsq bound_hard_clamp": _fsq(bound_hard_clamp=True),
    "fsq bound_hard_clamp, preserve_symmetry": _fsq(bound_hard_clamp=True, preserve_symmetry=True),
    "fsq noise_dropout": Case(
        "FSQ", {"levels": [8, 5, 5], "dim": 8, "preserve_symmetry": True, "noise_dropout": 0.5}, decode=CODES
    ),
    "fsq orthogonal_rotation": _fsq(orthogonal_rotation=True),
    "fsq scale, return_indices": _fsq(scale=None, return_indices=True),
    "fsp": _fsp(),
    "fsp sigmoid": _fsp(act_name="sigmoid", vector_norm="none"),
    "fsp normal": _fsp(act_name="normal", vector_norm="kurt"),
    "fsp laplace": _fsp(act_name="laplace", vector_norm="var_laplace"),
    "fsp cauchy": _fsp(act_name="cauchy", vector_norm="var_sigmoid", need_inv_act=True),
    "fsp need_inv_act": _fsp(act_name="normal", need_inv_act=True, quantize_rate=0.5),
    "fsp projection_has_bias": _fsp(projection_has_bias=False),
    "residual fsq projection_has_bias": _rfsq(projection_has_bias=False),
    "residual fsq bound_hard_clamp": _rfsq(bound_hard_clamp=False),
    "residual fsq quantize_dropout_multiple_of": _rfsq(quantize_dropout=True, quantize_dropout_multiple_of=2),
    "grouped residual fsq": _rfsq("GroupedResidualFSQ", groups=2),
    "grouped residual fsq return_all_codes": _rfsq(
        "GroupedResidualFSQ", groups=2, call={"return_all_codes": True}
    ),
    "residual fsq": Case(
        "ResidualFSQ", {"levels": [8, 5, 5, 3], "num_quantizers": 3, "dim": 8}, decode=OUTPUT
    ),
    "residual fsq return_all_codes": Case(
        "ResidualFSQ",
        {"levels": [8, 5, 5, 3, 4, 5, 6, 7], "num_quantizers": 2},
        call={"return_all_codes": True},
    ),
    "residual fsq is_channel_first": Case(
        "ResidualFSQ",
        {"levels": [8, 5, 5, 3], "num_quantizers": 3, "dim": 8, "is_channel_first": True},
        IMAGE,
    ),
    "residual fsq quantize_dropout": Case(
        "ResidualFSQ",
        {"levels": [8, 5], "num_quantizers": 3, "dim": 8, "quantize_dropout": True},
        decode=OUTPUT,
    ),
    "lfq": Case("LFQ", {"codebook_size": 256, "dim": 8}, decode=CODES),
    "lfq dim": Case("LFQ", {"codebook_size": 16, "dim": 8}, IMAGE, CODES),
    "lfq num_codebooks": Case("LFQ", {"codebook_size": 16, "dim": 8, "num_codebooks": 2}, IMAGE, CODES),
    "lfq channel_first": Case("LFQ", {"codebook_size": 16, "dim": 8, "channel_first": True}, CHANNELS, CODES),
    "latent": _latent(),
    "latent dim": _latent(dim=8, levels=[5, 5, 8]),
    "latent num_codebooks": _latent(dim=8, levels=[4, 5], num_codebooks=2),
    "latent codebook_dim": _latent(dim=8, levels=5, codebook_dim=4),
    "latent keep_num_codebooks_dim": _latent(keep_num_codebooks_dim=True),
    "latent optimize_values": _latent(optimize_values=False),
    "hierarchical": _scales(),
    "hierarchical shared_codebook": _scales(shared_codebook=False, codebook_size=(4, 8, 16)),
    "hierarchical share_quant_resi": _scales(share_quant_resi=2, quant_resi=0.3),
    "hierarchical own convolutions": _scales(share_quant_resi=0),
    "hierarchical channel_first": _scales((4, 6, 8), channel_first=False),
    "hierarchical image": _scales((2, 8, 6, 5), accept_image_fmap=True, scales=[1, (2, 3), (6, 5)]),
    "hierarchical 3d": _scales((2, 8, 2, 3, 4), accept_3d_fmap=True, scales=[1, 2, (2, 3, 4)]),
    "hierarchical mask": _scales(call={"lens": torch.tensor([6, 3, 1, 5])}, decode=None),
    "hierarchical nested_dropout": _scales(nested_dropout=0.5, call={"return_cutoff": True}),
    "lfq codebook_scale": _lfq(codebook_scale=0.5),
    "lfq spherical": _lfq(spherical=True),
    "lfq frac_per_sample_entropy": _lfq(frac_per_sample_entropy=0.5),
    "lfq has_projections": _lfq(dim=4, has_projections=True),
    "lfq projection_has_bias": _lfq(projection_has_bias=False),
    "lfq cosine_sim_project_in": _lfq(cosine_sim_project_in=True),
    "lfq cosine_sim_project_in_scale": _lfq(cosine_sim_project_in=True, cosine_sim_project_in_scale=3.0),
    "lfq soft_clamp_input_value": _lfq(soft_clamp_input_value=2.0),
    "lfq straight_through_activation": _lfq(straight_through_activation=torch.nn.Tanh()),
    "lfq experimental_softplus_entropy_loss": _lfq(experimental_softplus_entropy_loss=True),
    "lfq orthogonal_rotation": _lfq(orthogonal_rotation=True),
    "lfq return_loss_breakdown": _lfq(call={"return_loss_breakdown": True}, decode=None),
    "residual lfq": _rlfq(),
    "residual lfq dim": _rlfq(dim=6),
    "residual lfq return_all_codes": _rlfq(call={"return_all_codes": True}),
    "residual lfq soft_clamp_input_value": _rlfq(soft_clamp_input_value=2.0),
    "residual lfq quantize_dropout": _rlfq(quantize_dropout=True, quantize_dropout_multiple_of=2),
    "grouped residual lfq": _rlfq("GroupedResidualLFQ", groups=2, dim=16),
    "random projection indices": Case(
        "RandomProjectionQuantizer",
        {"dim": 8, "codebook_size": 16, "codebook_dim": 2, "num_codebooks": 4},
        call={"indices": _labels(4)},
    ),
    "random projection": Case(
        "RandomProjectionQuantizer", {"dim": 8, "codebook_size": 16, "codebook_dim": 4}
    ),
    "random projection num_codebooks": Case(
        "RandomProjectionQuantizer", {"dim": 8, "codebook_size": 16, "codebook_dim": 4, "num_codebooks": 3}
    ),
    "random projection norm": Case(
        "RandomProjectionQuantizer", {"dim": 8, "codebook_size": 16, "codebook_dim": 4, "norm": False}
    ),
}


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
        (lambda: facade.VectorQuantize(8, 16, sync_kmeans=False), "sync_codebook"),
        (lambda: facade.VectorQuantize(8, 16, straight_through=True, rotation_trick=True), "rotation_trick"),
        (lambda: facade.VectorQuantize(8, 16, sync_update_v=1.0), "learnable_codebook"),
        (
            lambda: facade.VectorQuantize(8, 16, rotation_trick=True, stochastic_sample_codes=True),
            "rotation_trick",
        ),
        (
            lambda: facade.VectorQuantize(8, 16, use_cosine_sim=True, learnable_codebook=True),
            "use_cosine_sim",
        ),
        (
            lambda: facade.ResidualVQ(dim=8, num_quantizers=2, codebook_size=4, quant_grad_frac=0.1),
            "quant_grad_frac",
        ),
        (lambda: facade.ResidualVQ(dim=8, num_quantizers=2, codebook_size=4, heads=2), "heads"),
        (lambda: facade.ResidualVQ(dim=8, codebook_size=4), "num_quantizers"),
        (lambda: facade.GroupedResidualVQ(dim=9, groups=2, num_quantizers=2, codebook_size=4), "dim"),
        (lambda: facade.FSQ([8, 2]), "preserve_symmetry"),
        (lambda: facade.FSQ([8, 5], noise_dropout=0.5), "noise_dropout"),
        (lambda: facade.LFQ(codebook_size=16, force_quantization_f32=False), "half precision"),
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
        facade.VectorQuantize(8, 16)(torch.randn(4, 50, 8), mask=_mask(), lens=torch.tensor([1, 2, 3, 4]))
