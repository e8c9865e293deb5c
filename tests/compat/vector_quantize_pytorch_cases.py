"""Layers of vector-quantize-pytorch with each of their options: beside the original in eval, and in training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["CASES", "SIZES", "TRAINED", "Case", "mask", "steps_itself"]

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


def mask() -> Tensor:
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
    "vq use_cosine_sim, orthogonal_reg_weight": _vq(use_cosine_sim=True, orthogonal_reg_weight=10),
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
    "vq mask": Case("VectorQuantize", {"dim": 8, "codebook_size": 16}, call={"mask": mask()}),
    "vq lens": Case(
        "VectorQuantize", {"dim": 8, "codebook_size": 16}, call={"lens": torch.tensor([3, 50, 20, 1])}
    ),
    "vq layernorm_after_project_in": _vq(codebook_dim=4, layernorm_after_project_in=True),
    "vq layernorm, heads": _vq(decode=None, heads=2, codebook_dim=3, layernorm_after_project_in=True),
    "vq commitment_use_cross_entropy_loss": _vq(commitment_use_cross_entropy_loss=True),
    "vq codebook_diversity_loss_weight": _vq(
        codebook_diversity_loss_weight=1.0, codebook_diversity_temperature=5.0
    ),
    "vq straight_through": _vq(
        straight_through=True, rotation_trick=False, stochastic_sample_codes=True, sample_codebook_temp=0.1
    ),
    "vq ema_update": _vq(ema_update=False),
    "vq ema_update, dead codes": _vq(ema_update=False, threshold_ema_dead_code=2),
    "vq sync_kmeans": _vq(kmeans_init=True, sync_kmeans=False),
    "vq affine decays": _vq(affine_param_batch_decay=0.5, affine_param_codebook_decay=0.5),
    "vq rotated draws": _vq(stochastic_sample_codes=True, sample_codebook_temp=0.1, rotation_trick=True),
    "vq sync_update_v": _vq(
        learnable_codebook=True, ema_update=False, sync_update_v=0.5, rotation_trick=True
    ),
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
        call={"mask": mask()},
    ),
    "vq topk": _vq(call={"topk": 3}, decode="get_codes_from_indices"),
    "vq topk, cosine": _vq(call={"topk": 3}, use_cosine_sim=True, decode=None),
    "vq topk, image": _vq(call={"topk": 2}, shape=IMAGE, accept_image_fmap=True, decode=None),
    "vq topk, channel_last": _vq(call={"topk": 2}, shape=CHANNELS, channel_last=False, decode=None),
    "vq topk, mask": Case(
        "VectorQuantize", {"dim": 8, "codebook_size": 16}, call={"mask": mask(), "topk": 2}
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
    "rvq mask": _rvq(call={"mask": mask()}, decode=None),
    "rvq shared_codebook": _rvq(shared_codebook=True, stochastic_sample_codes=True, sample_codebook_temp=0.1),
    "rvq kmeans_init": _rvq(kmeans_init=True, kmeans_iters=10),
    "rvq use_cosine_sim": _rvq(use_cosine_sim=True),
    "rvq quantize_dropout": _rvq(quantize_dropout=True),
    "rvq quantize_dropout_cutoff_index": _rvq(quantize_dropout=True, quantize_dropout_cutoff_index=1),
    "rvq quantize_dropout_multiple_of": _rvq(quantize_dropout=True, quantize_dropout_multiple_of=2),
    "rvq quant_grad_frac": _rvq(quant_grad_frac=0.5),
    "rvq beam_size": _rvq(beam_size=1, eval_beam_size=1, beam_score_quantizer_weights=[1.0, 1.0, 1.0]),
    "rvq implicit_neural_codebook": _rvq(implicit_neural_codebook=True, call={"return_all_codes": True}),
    "rvq implicit, shared": _rvq(implicit_neural_codebook=True, shared_codebook=True, num_quantizers=2),
    "rvq mlp_kwargs": _rvq(
        implicit_neural_codebook=True, mlp_kwargs={"dim_hidden": 5, "depth": 2}, codebook_dim=4
    ),
    "grouped rvq implicit_neural_codebook": _rvq(
        "GroupedResidualVQ", groups=2, implicit_neural_codebook=True
    ),
    "rvq layernorm": _rvq(layernorm_after_project_in=True, separate_codebook_per_head=True),
    "rvq return_zeros_for_masked_padding": _rvq(
        return_zeros_for_masked_padding=False, call={"mask": mask()}, decode=None
    ),
    "rvq codebook_size": _rvq(num_quantizers=None, codebook_size=(16, 8, 4)),
    "grouped rvq": _rvq("GroupedResidualVQ", groups=2),
    "grouped rvq return_all_codes": _rvq("GroupedResidualVQ", groups=2, call={"return_all_codes": True}),
    "grouped rvq mask": _rvq("GroupedResidualVQ", groups=2, call={"mask": mask()}, decode=None),
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
    "residual simvq quantize_dropout_cutoff_index": _rvq(
        "ResidualSimVQ", quantize_dropout=True, quantize_dropout_cutoff_index=1, rotation_trick=False
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
    "fsq scale": _fsq(scale=3.0),
    "fsq return_indices": Case("FSQ", {"levels": [4] * 8, "return_indices": False}),
    "fsq without float32": _fsq(force_quantization_f32=False, allowed_dtypes=(torch.float16,)),
    "fsq noise_dropout, orthogonal_rotation": _fsq(
        noise_dropout=0.5, orthogonal_rotation=True, preserve_symmetry=True
    ),
    "fsp channel_first": Case("FSP", {"levels": [8, 5, 5], "dim": 8, "channel_first": True}, CHANNELS, CODES),
    "fsp eps": Case("FSP", {"levels": [8, 5, 5]}, (4, 50, 3), call={"eps": 0.2}),
    "residual fsq noise_dropout": _rfsq(noise_dropout=0.5, scale=2.0),
    "residual fsq soft_clamp_input_value": _rfsq(
        bound_hard_clamp=False, soft_clamp_input_value=[1.0, 2.0, 1.5, 0.7]
    ),
    "residual fsq soft clamp, one number": _rfsq(bound_hard_clamp=False, soft_clamp_input_value=1.5),
    "residual fsq orthogonal_rotation": Case(  # whose indices do not decode there
        "ResidualFSQ",
        {"levels": [5, 5, 5, 5], "num_quantizers": 3, "dim": 8, "orthogonal_rotation": True},
    ),
    "residual fsq quantize_dropout_cutoff_index": _rfsq(
        quantize_dropout=True, quantize_dropout_cutoff_index=1, keep_num_codebooks_dim=False
    ),
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
    "latent weights": _latent(commitment_loss_weight=0.3, quantization_loss_weight=0.5),
    "latent optimize_values": _latent(optimize_values=False),
    "hierarchical": _scales(),
    "hierarchical shared_codebook": _scales(shared_codebook=False, codebook_size=(4, 8, 16)),
    "hierarchical share_quant_resi": _scales(share_quant_resi=2, quant_resi=0.3),
    "hierarchical own convolutions": _scales(share_quant_resi=0),
    "hierarchical options of codebooks": _scales(
        sync_codebook=False,
        decay=0.9,
        commitment_weight=0.5,
        rotation_trick=True,
        threshold_ema_dead_code=0,
    ),
    "hierarchical kmeans_iters": _scales(kmeans_init=True, kmeans_iters=3, codebook_size=2),
    "hierarchical draws": _scales(stochastic_sample_codes=True, sample_codebook_temp=0.5),
    "hierarchical orthogonal_reg_weight": _scales(
        orthogonal_reg_weight=1.0, orthogonal_reg_max_codes=8, orthogonal_reg_active_codes_only=True
    ),
    "hierarchical nested_dropout_min_levels": _scales(nested_dropout=0.5, nested_dropout_min_levels=2),
    "hierarchical channel_first": _scales((4, 6, 8), channel_first=False),
    "hierarchical image": _scales((2, 8, 6, 5), accept_image_fmap=True, scales=[1, (2, 3), (6, 5)]),
    "hierarchical 3d": _scales((2, 8, 2, 3, 4), accept_3d_fmap=True, scales=[1, 2, (2, 3, 4)]),
    "hierarchical mask": _scales(call={"lens": torch.tensor([6, 3, 1, 5])}, decode=None),
    "hierarchical nested_dropout": _scales(nested_dropout=0.5, call={"return_cutoff": True}),
    "lfq weights": _lfq(entropy_loss_weight=0.3, commitment_loss_weight=0.2, diversity_gamma=2.0),
    "lfq keep_num_codebooks_dim": _lfq(keep_num_codebooks_dim=True),
    "lfq entropy_loss_offset": _lfq(experimental_softplus_entropy_loss=True, entropy_loss_offset=2.0),
    "lfq force_quantization_f32": _lfq(force_quantization_f32=False),
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
    "residual lfq quantize_dropout_cutoff_index": _rlfq(
        quantize_dropout=True, quantize_dropout_cutoff_index=1
    ),
    "grouped residual lfq accept_image_fmap": Case(
        "GroupedResidualLFQ",
        {"dim": 8, "groups": 2, "num_quantizers": 3, "codebook_size": 16, "accept_image_fmap": True},
        IMAGE,
    ),
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


SIZES: dict[str, dict[str, Any]] = {
    "VectorQuantize": {"dim": 8, "codebook_size": 16},
    "ResidualVQ": {"dim": 8, "num_quantizers": 3, "codebook_size": 16},
    "GroupedResidualVQ": {"dim": 8, "num_quantizers": 3, "codebook_size": 16},
    "SimVQ": {"dim": 8, "codebook_size": 16},
    "ResidualSimVQ": {"dim": 8, "num_quantizers": 3, "codebook_size": 16},
    "FSQ": {"levels": [8, 5, 5], "dim": 8},
    "FSP": {"levels": [8, 5, 5], "dim": 8},
    "ResidualFSQ": {"levels": [8, 5, 5], "dim": 8, "num_quantizers": 3},
    "GroupedResidualFSQ": {"levels": [8, 5, 5], "dim": 8, "num_quantizers": 3},
    "HierarchicalVQ": {"dim": 8, "codebook_size": 16, "scales": [1, 2, 8]},
    "LatentQuantize": {"levels": [5, 5, 8], "dim": 8},
    "LFQ": {"codebook_size": 16, "dim": 8},
    "ResidualLFQ": {"codebook_size": 256, "dim": 8, "num_quantizers": 3},
    "GroupedResidualLFQ": {"codebook_size": 256, "dim": 8, "num_quantizers": 3},
    "RandomProjectionQuantizer": {"dim": 8, "codebook_size": 16, "codebook_dim": 4},
}


def steps_itself(manual: bool = False) -> dict[str, Any]:
    return {
        "learnable_codebook": True,
        "ema_update": False,
        "in_place_codebook_optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.5),
        "manual_in_place_optimizer_update": manual,
    }


MEANS = {
    "codebook_size": 6,
    "kmeans_init": True,
    "rotation_trick": False,
}  # of which each is chosen: others are pulled to 0 there
SCALES = {"scales": [6, 60], "codebook_size": 3, "threshold_ema_dead_code": 0}
MLP = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
TRAINED: dict[str, tuple[Any, ...]] = {  # layer, options, those of the call, and the shape, if it is another
    **{
        f"vq {name}": ("VectorQuantize", {**MEANS, **options}, {})
        for name, options in {
            "heads": {"heads": 2, "codebook_dim": 4},
            "separate_codebook_per_head": {
                "heads": 2,
                "codebook_dim": 4,
                "separate_codebook_per_head": True,
            },
            "decay": {"decay": 0.95},
            "eps": {"eps": 1e-3},
            "freeze_codebook": {"freeze_codebook": True},
            "kmeans_iters": {"kmeans_iters": 3, "sync_kmeans": False},
            "use_cosine_sim": {"use_cosine_sim": True},
            "straight_through": {"straight_through": True},
            "sync_codebook": {"sync_codebook": False},
            "affine decays": {"affine_param_batch_decay": 0.5, "affine_param_codebook_decay": 0.5},
            "commitment_weight": {"commitment_weight": 0.3, "rotation_trick": True},
        }.items()
    },
    "vq channel_last": ("VectorQuantize", {**MEANS, "channel_last": False}, {}, (4, 8, 60)),
    "vq accept_image_fmap": ("VectorQuantize", {**MEANS, "accept_image_fmap": True}, {}, (4, 8, 6, 10)),
    "vq accept_3d_fmap": ("VectorQuantize", {**MEANS, "accept_3d_fmap": True}, {}, (4, 8, 3, 4, 5)),
    "rvq": (
        "ResidualVQ",
        {**MEANS, "num_quantizers": None, "codebook_size": (6, 4, 2), "codebook_dim": 4},
        {},
    ),
    "rvq quantize_dropout": (
        "ResidualVQ",
        {
            **MEANS,
            "quantize_dropout": True,
            "quantize_dropout_cutoff_index": 2,
            "quantize_dropout_multiple_of": 2,
            "return_zeros_for_masked_padding": False,
        },
        {"mask": torch.arange(60) < torch.tensor([[60], [40], [30], [20]])},
    ),
    "grouped rvq": ("GroupedResidualVQ", {**MEANS, "groups": 2}, {}),
    "simvq": (
        "SimVQ",
        {
            "init_fn": torch.sin,
            "rotation_trick": False,
            "input_to_quantize_commit_loss_weight": 0.5,
            "commitment_weight": 2.0,
        },
        {},
    ),
    "simvq channel_first": ("SimVQ", {"channel_first": True}, {}, (4, 8, 60)),
    "residual simvq": (
        "ResidualSimVQ",
        {
            "channel_first": True,
            "rotation_trick": False,
            "quantize_dropout": True,
            "quantize_dropout_cutoff_index": 2,
            "quantize_dropout_multiple_of": 2,
        },
        {},
        (4, 8, 60),
    ),
    "fsq": (
        "FSQ",
        {
            "dim": 8,
            "levels": [5, 4],
            "num_codebooks": 2,
            "keep_num_codebooks_dim": True,
            "projection_has_bias": False,
        },
        {},
    ),
    "fsq no projections": (
        "FSQ",
        {
            "dim": None,
            "levels": [8] * 8,
            "channel_first": True,
            "return_indices": False,
            "scale": 2.0,
            "allowed_dtypes": (torch.float16,),
            "force_quantization_f32": False,
        },
        {},
        (4, 8, 60),
    ),
    **{
        f"fsp {act} {norm}": (
            "FSP",
            {"quantize_rate": 1.0, "act_name": act, "vector_norm": norm, "need_inv_act": inverse},
            {},
        )
        for act, norm, inverse in (
            ("tanh", "none", True),
            ("sigmoid", "var_sigmoid", False),
            ("normal", "kurt", True),
            ("laplace", "var_laplace", False),
            ("cauchy", "var", False),
        )
    },
    "fsp channel_first": (
        "FSP",
        {"channel_first": True, "dim": 6, "projection_has_bias": False, "quantize_rate": 1.0},
        {},
        (4, 6, 60),
    ),
    "residual fsq": ("ResidualFSQ", {"dim": 3, "is_channel_first": True}, {}, (4, 3, 60)),
    "residual fsq soft_clamp_input_value": (
        "ResidualFSQ",
        {
            "bound_hard_clamp": False,
            "soft_clamp_input_value": 1.5,
            "quantize_dropout": True,
            "quantize_dropout_cutoff_index": 2,
            "quantize_dropout_multiple_of": 2,
        },
        {},
    ),
    "grouped residual fsq": ("GroupedResidualFSQ", {"groups": 2, "levels": [5, 4]}, {}),
    "lfq": (
        "LFQ",
        {
            "dim": 4,
            "codebook_size": None,
            "has_projections": True,
            "channel_first": True,
            "entropy_loss_weight": 0.3,
            "diversity_gamma": 2.0,
            "keep_num_codebooks_dim": True,
            "force_quantization_f32": False,
        },
        {"inv_temperature": 0.7},
        (4, 4, 60),
    ),
    "lfq projection_has_bias": ("LFQ", {"projection_has_bias": False}, {"inv_temperature": 0.7}),
    "lfq cosine_sim_project_in_scale": (
        "LFQ",
        {"cosine_sim_project_in": True, "cosine_sim_project_in_scale": 3.0},
        {"inv_temperature": 0.7},
    ),
    "lfq entropy_loss_offset": (
        "LFQ",
        {"experimental_softplus_entropy_loss": True, "entropy_loss_offset": 1.0},
        {"inv_temperature": 0.7},
    ),
    "residual lfq": (
        "ResidualLFQ",
        {
            "soft_clamp_input_value": 1.5,
            "commitment_loss_weight": 0.3,
            "entropy_loss_weight": 0.01,  # at a temperature of 1/100 its slopes are steep
            "quantize_dropout": True,
            "quantize_dropout_cutoff_index": 2,
            "quantize_dropout_multiple_of": 2,
        },
        {},
    ),
    "grouped residual lfq": (
        "GroupedResidualLFQ",
        {"groups": 2, "codebook_size": 16, "accept_image_fmap": True, "entropy_loss_weight": 0.01},
        {},
        (4, 8, 6, 10),
    ),
    "hierarchical options": (
        "HierarchicalVQ",
        {
            **SCALES,
            "channel_first": False,
            "sync_codebook": False,
            "decay": 0.9,
            "commitment_weight": 0.5,
            "rotation_trick": True,
            "kmeans_iters": 3,
            "quant_resi": 0.3,
            "share_quant_resi": 2,
            "nested_dropout": 1.0,
            "nested_dropout_min_levels": 2,
        },
        {},
    ),
    "hierarchical image": (
        "HierarchicalVQ",
        {**SCALES, "accept_image_fmap": True, "scales": [2, (6, 5)]},
        {},
        (4, 8, 6, 5),
    ),
    "hierarchical 3d": (
        "HierarchicalVQ",
        {**SCALES, "accept_3d_fmap": True, "scales": [2, (3, 4, 5)], "kmeans_init": False},
        {},
        (4, 8, 3, 4, 5),
    ),
    "ema_update": ("VectorQuantize", {"ema_update": False}, {}),
    "commitment_use_cross_entropy_loss": (
        "VectorQuantize",
        {**MEANS, "commitment_use_cross_entropy_loss": True},
        {},
    ),
    "cross entropy, mask": (
        "VectorQuantize",
        {**MEANS, "commitment_use_cross_entropy_loss": True},
        {"mask": torch.arange(60) < torch.tensor([[60], [3], [30], [1]])},
    ),
    "ema_update, dead codes": ("VectorQuantize", {"ema_update": False, "threshold_ema_dead_code": 1e-6}, {}),
    "implicit_neural_codebook": ("ResidualVQ", {"implicit_neural_codebook": True}, {}),
    "implicit, mask": (
        "ResidualVQ",
        {"implicit_neural_codebook": True, "mlp_kwargs": {"depth": 1, "dim_hidden": 3}},
        {"mask": torch.arange(60) < torch.tensor([[60], [3], [30], [1]])},
    ),
    "in place": ("VectorQuantize", steps_itself(), {}),
    "in place, rotation": ("VectorQuantize", {**steps_itself(), "commitment_weight": 0.0}, {}),
    "in place, breakdown": ("VectorQuantize", steps_itself(), {"return_loss_breakdown": True}),
    "vq_bridge": ("VectorQuantize", {"vq_bridge": MLP}, {}),
    "layernorm_after_project_in": (
        "VectorQuantize",
        {"codebook_dim": 4, "layernorm_after_project_in": True},
        {},
    ),
    "route_gradients_to_input": ("VectorQuantize", {"route_gradients_to_input": False}, {}),
    "route, learnable": (
        "VectorQuantize",
        {"route_gradients_to_input": False, "learnable_codebook": True, "ema_update": False},
        {},
    ),
    "freeze_codebook": ("VectorQuantize", {}, {"freeze_codebook": True}),
    "ema_update of a call": ("VectorQuantize", {}, {"ema_update": False}),
    "ema_update_weight": ("VectorQuantize", {}, {"ema_update_weight": torch.linspace(0.1, 2.0, 16)}),
    "ema_update_weight, function": (
        "VectorQuantize",
        {},
        {"ema_update_weight": lambda sums, counts: (counts > 4).float() / (1 + sums.norm(dim=-1))},
    ),
    "topk": ("VectorQuantize", {}, {"topk": 3}),
    "topk, learnable": ("VectorQuantize", {"learnable_codebook": True, "ema_update": False}, {"topk": 3}),
    "indices": ("VectorQuantize", MEANS, {"indices": torch.arange(240).view(4, 60) % 6}),
    "return_loss_breakdown": ("VectorQuantize", {}, {"return_loss_breakdown": True}),
    "return_zeros_for_masked_padding": (
        "VectorQuantize",
        {"return_zeros_for_masked_padding": False},
        {"mask": torch.arange(60) < torch.tensor([[60], [3], [30], [1]])},
    ),
    "hierarchical": (
        "HierarchicalVQ",
        {
            "channel_first": False,
            "scales": [1, 4, 60],
            "codebook_size": (1, 2, 6),
            "shared_codebook": False,
            "threshold_ema_dead_code": 0,
        },
        {},
    ),
    "hierarchical, shared": (
        "HierarchicalVQ",
        {
            "channel_first": False,
            "scales": [6, 60],
            "codebook_size": 3,
            "threshold_ema_dead_code": 0,
        },
        {"lens": torch.tensor([60, 20, 40, 7])},
    ),
    "simvq codebook_transform": ("SimVQ", {"codebook_transform": MLP}, {}),
    "simvq frozen_codebook_dim": ("SimVQ", {"frozen_codebook_dim": 3}, {}),
    "fsq bound_hard_clamp": ("FSQ", {"bound_hard_clamp": True}, {}),
    "fsq bound_hard_clamp, symmetric": ("FSQ", {"bound_hard_clamp": True, "preserve_symmetry": True}, {}),
    "fsq orthogonal_rotation": ("FSQ", {"orthogonal_rotation": True}, {}),
    "lfq codebook_scale": ("LFQ", {"codebook_scale": 0.5, "commitment_loss_weight": 0.2}, {}),
    "lfq spherical": ("LFQ", {"spherical": True, "commitment_loss_weight": 0.2}, {"inv_temperature": 3.0}),
    "lfq soft_clamp_input_value": ("LFQ", {"soft_clamp_input_value": 1.5}, {"inv_temperature": 0.7}),
    "lfq straight_through_activation": (
        "LFQ",
        {"straight_through_activation": nn.Tanh(), "commitment_loss_weight": 0.2},
        {"inv_temperature": 0.7},
    ),
    "lfq softplus": ("LFQ", {"experimental_softplus_entropy_loss": True}, {"inv_temperature": 0.7}),
    "lfq cosine_sim_project_in": ("LFQ", {"cosine_sim_project_in": True}, {"inv_temperature": 0.7}),
    "lfq orthogonal_rotation": (
        "LFQ",
        {"orthogonal_rotation": True, "commitment_loss_weight": 0.2},
        {"inv_temperature": 0.7},
    ),
    "lfq breakdown": (
        "LFQ",
        {"num_codebooks": 2, "commitment_loss_weight": 0.2},
        {"return_loss_breakdown": True, "inv_temperature": 0.7},
    ),
}
