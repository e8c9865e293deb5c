"""Options of the original that are not supported: their default values, and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeword.errors import CodewordError

__all__ = ["refuse"]

_DEFECTS: dict[
    str, tuple[Any, str]
] = {  # name -> the original's default, and the reason against other values
    "affine_param": (
        False,
        "there its indices do not decode and its state does not load: use update=Gradient(transform=RunningAffine())",
    ),
    "sync_affine_param": (False, "see affine_param"),
    "codebook_transform_fn": (
        None,
        "the indices do not decode then: pass implicit_neural_codebook to ResidualVQ",
    ),
    "indices of stages": (None, "a stack fails with them there: give them to its layers, one after another"),
    "codebook_scale": (1.0, "each stage has half of that before it, there too"),
    "has_projections": (None, "stages have no projections there either: leave it out"),
    "num_codebooks": (1, "a stage has one codebook there too"),
    "keep_num_codebooks_dim": (None, "a stack fails with it there"),
    "return_indices": (True, "a stack fails without them there"),
    "channel_first": (False, "pass is_channel_first"),
    "channel_last": (True, "a stack fails with it there: pass accept_image_fmap, or move the axis"),
    "accept_3d_fmap": (False, "a stack fails with it there: pass accept_image_fmap, or move the axis"),
    "is_channel_first": (False, "pass accept_image_fmap"),
    "in_place_codebook_optimizer": (None, "it fails there: give the values to your optimiser"),
    "heads": (1, "stages have one head there too: use GroupedResidualVQ"),
}


_OF_GRIDS = ("scale", "allowed_dtypes", "force_quantization_f32")
_OF_CODEBOOKS = ("affine_param_batch_decay", "affine_param_codebook_decay", "sync_kmeans")
_OF_STACKS = (
    *_OF_CODEBOOKS,
    "quant_grad_frac",
    "beam_score_quantizer_weights",
    "layernorm_after_project_in",  # stages have no projections
    "separate_codebook_per_head",  # nor heads
)
_WITHOUT_EFFECT = {  # layer -> options without an effect, in the original too, or see docs/moving
    "FSQ": _OF_GRIDS,
    "ResidualFSQ": (*_OF_GRIDS, "projection_has_bias"),
    "LFQ": ("force_quantization_f32",),
    "VectorQuantize": _OF_CODEBOOKS,
    "ResidualVQ": _OF_STACKS,
    "GroupedResidualVQ": _OF_STACKS,
}


def refuse(owner: str, options: Mapping[str, Any]) -> None:
    """Raise an error that names an unsupported option, if it does not have its default value."""
    for name, value in options.items():
        if name in _WITHOUT_EFFECT.get(owner, ()) or (name in _FALSE_OR_NONE and not value):
            continue
        default, why = _DEFECTS.get(name, (_UNKNOWN, "leave it out"))
        if not _same(value, default):
            raise CodewordError.of(f"options of {owner} that are supported here", f"{name}={value!r}", why)


_FALSE_OR_NONE = ("keep_num_codebooks_dim", "has_projections", "channel_first")  # either is their default
_UNKNOWN = object()


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))
