"""Options that stacks of vector-quantize-pytorch hand on to their stages, each beside the original."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import codeword.compat.vector_quantize_pytorch as facade
from compat.test_vector_quantize_pytorch_coverage import (
    BEAM,
    DIRECTIONAL,
    DIVERSITY,
    DRAWN,
    FAILS,
    NOISE,
    ORTHOGONAL,
    TESTS,
)
from compat.test_vector_quantize_pytorch_options import INNER, check_close, defaults, rows, twins, zeros_for
from compat.vector_quantize_pytorch_cases import MEANS, MLP, SIZES, steps_itself

original = pytest.importorskip("vector_quantize_pytorch")

GRADIENT = {"learnable_codebook": True, "ema_update": False}
STAY = {"quantize_dropout": True, "quantize_dropout_cutoff_index": 2}  # all three
STACKS: dict[str, dict[str, Any]] = {
    "ResidualVQ": MEANS,
    "GroupedResidualVQ": {**MEANS, "groups": 2},
    "ResidualSimVQ": {},
    "ResidualFSQ": {},
    "GroupedResidualFSQ": {"groups": 2},
    "ResidualLFQ": {"entropy_loss_weight": 0.01},  # at a temperature of 1/100 its slopes are steep
    "GroupedResidualLFQ": {"groups": 2, "codebook_size": 16, "entropy_loss_weight": 0.01},
}
VALUES: dict[str, Any] = {  # other values than the defaults
    "decay": 0.95,
    "eps": 1e-3,
    "kmeans_init": False,
    "kmeans_iters": 3,
    "sync_kmeans": False,
    "use_cosine_sim": True,
    "layernorm_after_project_in": True,
    "separate_codebook_per_head": True,
    "threshold_ema_dead_code": 2,
    "commitment_weight": 0.3,
    "commitment_use_cross_entropy_loss": True,
    "rotation_trick": True,
    "straight_through": True,
    "codebook_dim": 4,
    "sync_codebook": False,
    "ema_update": False,
    "manual_ema_update": True,
    "learnable_codebook": True,
    "in_place_codebook_optimizer": steps_itself()["in_place_codebook_optimizer"],
    "manual_in_place_optimizer_update": True,
    "sync_update_v": 0.5,
    "vq_bridge": nn.Tanh(),
    "affine_param_batch_decay": 0.5,
    "affine_param_codebook_decay": 0.5,
    "return_zeros_for_masked_padding": False,
    "route_gradients_to_input": False,
    "implicit_neural_codebook": True,
    "mlp_kwargs": {"depth": 1},
    "quant_grad_frac": 0.5,
    "shared_codebook": True,
    "quantize_dropout": True,
    "quantize_dropout_cutoff_index": 2,
    "quantize_dropout_multiple_of": 3,
    "orthogonal_reg_weight": 1.0,
    "orthogonal_reg_active_codes_only": True,
    "orthogonal_reg_max_codes": 4,
    "codebook_diversity_loss_weight": 1.0,
    "codebook_diversity_temperature": 5.0,
    "directional_reparam": True,
    "directional_reparam_variance": 1e-3,
    "stochastic_sample_codes": True,
    "sample_codebook_temp": 0.1,
    "freeze_codebook": True,
    "codebook_transform": MLP,
    "init_fn": torch.sin,
    "input_to_quantize_commit_loss_weight": 0.5,
    "frozen_codebook_dim": 3,
    "scale": 2.0,
    "allowed_dtypes": (torch.float16,),
    "projection_has_bias": False,
    "force_quantization_f32": False,
    "bound_hard_clamp": False,
    "soft_clamp_input_value": 1.5,
    "commitment_loss_weight": 0.2,
    "diversity_gamma": 2.0,
    "entropy_loss_weight": 0.02,
    "straight_through_activation": nn.Tanh(),
    "orthogonal_rotation": True,
    "spherical": True,
    "cosine_sim_project_in": True,
    "cosine_sim_project_in_scale": 3.0,
    "experimental_softplus_entropy_loss": True,
    "entropy_loss_offset": 2.0,
    "frac_per_sample_entropy": 0.5,
}
REPARAMETERISED = {"directional_reparam": True, "threshold_ema_dead_code": 2, "rotation_trick": None}
WITH: dict[str, dict[str, Any]] = {  # what goes with an option
    "learnable_codebook": {"ema_update": False},
    "in_place_codebook_optimizer": GRADIENT,
    "manual_in_place_optimizer_update": steps_itself(),
    "sync_update_v": GRADIENT,
    "mlp_kwargs": {"implicit_neural_codebook": True},
    "quantize_dropout": STAY,
    "quantize_dropout_cutoff_index": STAY,
    "quantize_dropout_multiple_of": {"quantize_dropout": True},
    "orthogonal_reg_active_codes_only": {"orthogonal_reg_weight": 1.0},
    "orthogonal_reg_max_codes": {"orthogonal_reg_weight": 1.0},
    "codebook_diversity_temperature": {"codebook_diversity_loss_weight": 1.0},
    "directional_reparam": REPARAMETERISED,
    "directional_reparam_variance": REPARAMETERISED,
    "sample_codebook_temp": {"stochastic_sample_codes": True},
    "cosine_sim_project_in_scale": {"cosine_sim_project_in": True},
    "entropy_loss_offset": {"experimental_softplus_entropy_loss": True},
}

# Of these stages do what layers do, and the difference in training is documented with that layer.
DIFFERS = {
    "directional_reparam directional_reparam_variance": DIRECTIONAL,
    "stochastic_sample_codes sample_codebook_temp": DRAWN,
    "orthogonal_reg_weight orthogonal_reg_active_codes_only orthogonal_reg_max_codes": ORTHOGONAL,
    "codebook_diversity_loss_weight codebook_diversity_temperature": DIVERSITY,
    "frac_per_sample_entropy": "test_the_entropies_of_a_share_are_those_there_on_average",
    "shared_codebook": "test_a_shared_codebook_learns_once_from_all_stages",
    "freeze_codebook": "test_a_frozen_codebook_stays_in_stacks_too",
}
# And of these in eval as well.
OTHERWISE = {
    "beam_size eval_beam_size beam_score_quantizer_weights": BEAM,
    "diveq": "test_diveq_is_exact_in_eval",
    "noise_dropout": NOISE,
    "ResidualFSQ.orthogonal_rotation": "test_stages_that_are_rotated_decode",
    "heads channel_last accept_3d_fmap affine_param sync_affine_param num_codebooks return_indices": FAILS,
    "channel_first keep_num_codebooks_dim is_channel_first has_projections codebook_scale": FAILS,
    "GroupedResidualFSQ.soft_clamp_input_value": FAILS,
}
OTHER_GRADIENTS = {  # of the input; docs/moving has the rows
    "commitment_use_cross_entropy_loss",
    "implicit_neural_codebook",
    "mlp_kwargs",
    "quant_grad_frac",
}


def handed_on(name: str) -> list[str]:
    """The options of a stack that are not its own, but go on to its stages."""
    own = set(inspect.signature(getattr(original, name).__init__).parameters)
    return [option for option, _ in defaults(name) if option not in own | set(SIZES[name])]


def named(name: str, option: str, table: dict[str, str]) -> bool:
    words = {word for row in table for word in row.split()}
    return bool({option, f"{name}.{option}", f"{name.removeprefix('Grouped')}.{option}"} & words)


TRIED = [
    (name, option) for name in STACKS for option in handed_on(name) if not named(name, option, OTHERWISE)
]


@pytest.mark.parametrize(("name", "option"), TRIED)
def test_an_option_of_stages_does_what_it_does_there(name: str, option: str) -> None:
    options = {**STACKS[name], **WITH.get(option, {}), option: VALUES[option]}
    theirs, ours = twins(name, **options)
    check_close(ours.eval()(rows(9)), theirs.eval()(rows(9)))
    if named(name, option, DIFFERS):
        return
    for layer in (theirs, ours):
        layer.train()
    for step in range(1, 4):
        for layer in (theirs, ours):
            layer.zero_grad()
        x, y = rows(step).requires_grad_(), rows(step).requires_grad_()
        expected, got = theirs(x), ours(y)
        check_close(got, expected)
        for result in (expected, got):  # of the losses alone: theirs multiplies the gradient of the output
            losses = [part for part in result[2:] if isinstance(part, Tensor) and part.requires_grad]
            if losses:
                torch.stack([part.sum() for part in losses]).sum().backward()
        if option not in OTHER_GRADIENTS:
            check_close(zeros_for(y), zeros_for(x))


def test_every_option_of_stages_is_tried_or_has_a_test() -> None:
    assert set(STACKS) == set(INNER) - {"RandomProjectionQuantizer"}  # nothing in it learns
    every = {option for name in STACKS for option in handed_on(name)}
    assert every <= set(VALUES) | {word.rpartition(".")[2] for row in OTHERWISE for word in row.split()}
    assert {*DIFFERS.values(), *OTHERWISE.values()} <= TESTS


def test_a_frozen_codebook_stays_in_stacks_too() -> None:
    """There the call's default, False, is handed to the stages and overrides the option."""
    theirs, ours = twins("ResidualVQ", **{**MEANS, "freeze_codebook": True})
    for layer, moves in ((theirs, True), (ours, False)):
        before = layer.codebooks.clone()
        layer(rows(1))
        assert torch.equal(layer.codebooks, before) != moves


@pytest.mark.parametrize(
    ("shape", "options"),
    [((2, 8, 4, 5), {}), ((2, 8, 3, 2, 5), {}), ((4, 8, 60), {"channel_first": True})],
    ids=["picture", "video", "channel_first"],
)
def test_residual_lfq_takes_features_on_axis_1(shape: tuple[int, ...], options: dict[str, bool]) -> None:
    theirs, ours = twins("ResidualLFQ", shape, **options)
    expected, got = theirs.eval()(rows(1, shape)), ours.eval()(rows(1, shape))
    check_close(got, expected)
    check_close(ours.get_output_from_indices(got[1]), theirs.get_output_from_indices(expected[1]))


def test_the_stages_of_residual_lfq_halve_at_the_default_of_codebook_scale_too() -> None:
    scales = [
        layer.codebooks.amax((1, 2)).tolist()
        for layer in (
            facade.ResidualLFQ(**SIZES["ResidualLFQ"], **extra) for extra in ({}, {"codebook_scale": 1.0})
        )
    ]
    assert scales == [[1.0, 0.5, 0.25]] * 2
