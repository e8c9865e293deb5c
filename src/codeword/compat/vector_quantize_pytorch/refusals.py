"""The options of the original that are not honoured: what they are when left out, and why not otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from codeword.errors import CodewordError

__all__ = ["refuse"]

_DEFECTS: dict[str, tuple[Any, str]] = {  # name -> the default there, and what is wrong with anything else
    "affine_param": (
        False,
        "there its indices do not decode and its state does not load: take update=Gradient(transform=RunningAffine())",
    ),
    "affine_param_batch_decay": (0.99, "see affine_param"),
    "affine_param_codebook_decay": (0.9, "see affine_param"),
    "sync_affine_param": (False, "see affine_param"),
    "sync_kmeans": (
        True,
        "ranks would start from different codes: pass sync_codebook=False for codes of their own",
    ),
    "force_quantization_f32": (True, "in half precision some codes can never be reached: leave it out"),
    "allowed_dtypes": (
        (torch.float32, torch.float64),
        "in half precision some codes can never be reached: leave it out",
    ),
    "scale": (None, "nothing reads it there: leave it out"),
    "codebook_transform_fn": (
        None,
        "it is for implicit codes alone: pass implicit_neural_codebook to ResidualVQ",
    ),
    "indices of stages": (None, "a stack fails with them there: give them to its layers, one after another"),
    "quant_grad_frac": (0.0, "here the gradient of a stack is that of one layer, whatever their number"),
    "beam_score_quantizer_weights": (None, "a sum of codes is scored by its error here: leave it out"),
    "implicit_neural_codebook": (False, "it is not here yet"),
    "mlp_kwargs": ({}, "it is not here yet"),
    "soft_clamp_input_value": (None, "levels have one clamp that fits them: leave it out"),
    "noise_dropout": (0.0, "the stages behind would not see the noise: leave it out"),
    "num_codebooks": (1, "a stage has one codebook there too"),
    "keep_num_codebooks_dim": (None, "a stage has one codebook: leave it out"),
    "return_indices": (True, "a stack fails without them there"),
    "channel_first": (False, "pass is_channel_first"),
    "orthogonal_rotation": (False, "the stages of a stack would be rotated each another way: leave it out"),
    "layernorm_after_project_in": (False, "a stage has no projection there: leave it out"),
    "separate_codebook_per_head": (False, "stages have one head there too: use GroupedResidualVQ"),
    "channel_last": (True, "pass accept_image_fmap, or move the axis"),
    "accept_3d_fmap": (False, "pass accept_image_fmap, or move the axis"),
    "is_channel_first": (False, "pass accept_image_fmap"),
    "in_place_codebook_optimizer": (None, "it fails there: give the values to your optimiser"),
    "heads": (1, "stages have one head there too: use GroupedResidualVQ"),
}


def refuse(owner: str, options: Mapping[str, Any]) -> None:
    """Raise for an option that is not honoured and asks for something, by its name."""
    for name, value in options.items():
        default, why = _DEFECTS.get(name, (_UNKNOWN, "leave it out"))
        if not _same(value, default):
            raise CodewordError.of(f"options of {owner} that are honoured here", f"{name}={value!r}", why)


_UNKNOWN = object()


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))
