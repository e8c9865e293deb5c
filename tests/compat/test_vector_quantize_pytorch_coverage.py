"""Every constructor option of vector-quantize-pytorch is tried in eval and in training, or it is said where."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import codeword.compat.vector_quantize_pytorch as facade
from compat.vector_quantize_pytorch_cases import CASES, SIZES, TRAINED

original = pytest.importorskip("vector_quantize_pytorch")

FILES = Path(__file__).parent.glob("test_vector_quantize_pytorch*.py")
TESTS = set(re.findall(r"^def (test_\w+)", "\n".join(path.read_text() for path in FILES), re.MULTILINE))

STAYS = "test_how_many_stages_stay"
ORTHOGONAL = "test_the_orthogonality_is_that_of_all_codes"
DIVERSITY = "test_the_diversity_is_that_of_all_vectors_of_the_batch"
DRAWN = "test_codes_are_drawn_by_the_squared_distance"
LATENT = "test_latent_values_and_vectors_get_the_gradients_of_their_losses"
BEAM = "test_a_beam_keeps_the_sums_of_the_least_error"
IMAGES = "test_stages_take_images"
MAPPED = "test_bits_are_mapped_as_there"
GENES = "test_genes_are_bits_and_evolve"
NOISE = "test_the_noise_of_fsq_is_as_wide_as_a_level"
DIRECTIONAL = "test_directional_reparam_needs_no_threshold"
FAILS = "test_what_fails_there_is_refused_here"

# (layer, option): the tests that are about it, where no case of the tables tries it in eval, or in training.
IN_EVAL = {
    ("BinaryMapper", "bits kl_loss_threshold deterministic_on_eval"): MAPPED,
    (
        "EvoLFQ",
        "lfq dim codebook_size num_codebooks pop_size mutation_rate tournament_size elitism_count generations",
    ): GENES,
    ("GroupedResidualFSQ", "accept_image_fmap"): IMAGES,
    ("GroupedResidualVQ", "accept_image_fmap"): IMAGES,
    ("LatentQuantize", "in_place_codebook_optimizer"): FAILS,
    ("ResidualSimVQ", "heads"): FAILS,
    ("ResidualVQ", "heads"): FAILS,
    ("ResidualVQ", "accept_image_fmap"): IMAGES,
    ("ResidualVQ", "diveq"): "test_diveq_is_exact_in_eval",
    ("VectorQuantize", "affine_param sync_affine_param"): FAILS,
}
IN_TRAINING = {
    **IN_EVAL,
    ("FSQ", "noise_dropout"): NOISE,
    ("HierarchicalVQ", "stochastic_sample_codes sample_codebook_temp"): DRAWN,
    (
        "HierarchicalVQ",
        "orthogonal_reg_weight orthogonal_reg_max_codes orthogonal_reg_active_codes_only",
    ): ORTHOGONAL,
    ("LatentQuantize", "commitment_loss_weight quantization_loss_weight optimize_values"): LATENT,
    ("LatentQuantize", "num_codebooks codebook_dim keep_num_codebooks_dim"): LATENT,
    ("LFQ", "frac_per_sample_entropy"): "test_the_entropies_of_a_share_are_those_there_on_average",
    ("RandomProjectionQuantizer", "num_codebooks norm"): "test_random_projections_agree",  # nothing learns
    ("ResidualVQ", "beam_size eval_beam_size beam_score_quantizer_weights"): BEAM,
    ("ResidualVQ", "shared_codebook"): "test_a_shared_codebook_learns_once_from_all_stages",
    ("ResidualVQ", "quant_grad_frac"): "test_the_gradient_of_a_stack_is_that_of_quant_grad_frac_1",
    (
        "VectorQuantize",
        "orthogonal_reg_weight orthogonal_reg_active_codes_only orthogonal_reg_max_codes",
    ): ORTHOGONAL,
    ("VectorQuantize", "codebook_diversity_loss_weight codebook_diversity_temperature"): DIVERSITY,
    ("VectorQuantize", "stochastic_sample_codes sample_codebook_temp"): DRAWN,
    ("VectorQuantize", "directional_reparam directional_reparam_variance"): DIRECTIONAL,
    ("VectorQuantize", "manual_ema_update"): "test_averages_wait_until_they_are_told_to",
    (
        "VectorQuantize",
        "manual_in_place_optimizer_update",
    ): "test_steps_of_the_codes_wait_until_they_are_told_to",
    ("VectorQuantize", "sync_update_v"): "test_sync_update_v_reaches_the_codes_and_not_the_input",
}
EVAL = [(case.name, case.options) for case in CASES.values()]
TRAINING = [(name, options) for name, options, *_ in TRAINED.values()]


def options_of(name: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(original, name).__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def tried(name: str, tables: list[tuple[str, dict[str, Any]]]) -> set[str]:
    """The options of a layer that a table has with another value than the default."""
    defaults = options_of(name)
    return {
        option
        for layer, options in tables
        if layer == name
        for option, value in {**SIZES.get(name, {}), **options}.items()
        if option in defaults and repr(value) != repr(defaults[option])
    }


@pytest.mark.parametrize(
    ("tables", "reasons"), [(EVAL, IN_EVAL), (TRAINING, IN_TRAINING)], ids=["eval", "training"]
)
@pytest.mark.parametrize("name", facade.__all__)
def test_every_option_is_tried_or_has_a_test_of_its_own(
    name: str, tables: list[tuple[str, dict[str, Any]]], reasons: dict[tuple[str, str], str]
) -> None:
    named = [option for layer, options in reasons if layer == name for option in options.split()]
    assert sorted(tried(name, tables) | set(named)) == sorted(options_of(name))
    assert not tried(name, tables) & set(named)  # no reason outlives its need
    assert {test for (layer, _), test in reasons.items() if layer == name} <= TESTS


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ResidualVQ", {"heads": 2}, "heads"),
        ("ResidualSimVQ", {"heads": 2}, "heads"),
        ("ResidualVQ", {"channel_last": False}, "channel_last"),
        ("ResidualVQ", {"accept_3d_fmap": True}, "accept_3d_fmap"),
        ("ResidualFSQ", {"num_codebooks": 2}, "num_codebooks"),
        ("ResidualFSQ", {"return_indices": False}, "return_indices"),
        ("ResidualFSQ", {"channel_first": True}, "channel_first"),
        ("ResidualFSQ", {"keep_num_codebooks_dim": True}, "keep_num_codebooks_dim"),
        ("ResidualFSQ", {"soft_clamp_input_value": 2.0}, "soft_clamp_input_value"),
        ("GroupedResidualFSQ", {"soft_clamp_input_value": 2.0}, "soft_clamp_input_value"),
        ("GroupedResidualFSQ", {"is_channel_first": True}, "is_channel_first"),
        ("ResidualLFQ", {"num_codebooks": 2}, "num_codebooks"),
        ("ResidualLFQ", {"keep_num_codebooks_dim": True}, "keep_num_codebooks_dim"),
        ("ResidualLFQ", {"has_projections": True}, "has_projections"),
        ("ResidualLFQ", {"codebook_scale": 0.5}, "codebook_scale"),
        ("GroupedResidualLFQ", {"channel_first": True}, "channel_first"),
        ("LatentQuantize", {"in_place_codebook_optimizer": torch.optim.Adam}, "in_place_codebook_optimizer"),
        ("VectorQuantize", {"affine_param": True}, "affine_param"),
        ("VectorQuantize", {"sync_affine_param": True, "affine_param": True}, "affine_param"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_fails_there_is_refused_here(name: str, options: dict[str, Any], message: str) -> None:
    sizes = {**SIZES[name], **options}
    with pytest.raises(Exception):  # noqa: B017, PT011 - an assertion, or what it runs into
        use(getattr(original, name), sizes)
    with pytest.raises(ValueError, match=message):
        use(getattr(facade, name), sizes)


def use(layer: Any, options: dict[str, Any]) -> None:
    """Train a step, save, load into another, and decode."""
    torch.manual_seed(0)
    x = torch.randn(2, 8, 7, 5) if "in_place_codebook_optimizer" in options else 1 + 3 * torch.randn(2, 10, 8)
    one, other = layer(**options), layer(**options)
    one(x)
    other.load_state_dict(one.state_dict())
    quantized, indices, *_ = other.eval()(x)
    assert torch.allclose(other.get_output_from_indices(indices), quantized, atol=1e-5)


@pytest.mark.parametrize("grouped", [False, True])
def test_indices_of_stacks_fail_there_and_are_refused_here(grouped: bool) -> None:
    name = "GroupedResidualVQ" if grouped else "ResidualVQ"
    indices = torch.zeros(*(1,) * grouped, 2, 10, 3, dtype=torch.int64)
    for home in (original, facade):
        with pytest.raises(ValueError):  # noqa: PT011 - theirs is that of unpacking
            getattr(home, name)(**SIZES[name])(torch.randn(2, 10, 8), indices=indices)
