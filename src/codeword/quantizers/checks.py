"""Checks at the boundary, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["check_choices", "check_indices", "check_input", "refuse_inside_backward"]


def check_choices(choices: Mapping[str, int], known: Sequence[str]) -> None:
    """Raise unless what a call was told is among what the quantizer can be told, as a positive number."""
    for name, value in choices.items():
        if name not in known:
            remedy = f"it knows: {', '.join(known)}" if known else "it takes none"
            raise CodewordError.of("a choice that this quantizer knows", f"{name}={value!r}", remedy)
        if not isinstance(value, int) or value < 1:
            raise CodewordError.of(f"{name} of at least 1", repr(value), f"pass a whole number as {name}")


def check_input(x: Tensor, mask: Tensor | None, features: int, dim: int, device: torch.device) -> None:
    """Raise unless x has `features` on axis `dim`, floating point, on `device`, and the mask fits it."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise CodewordError.of("a floating-point tensor", got, "convert it, for example with x.float()")
    if not -x.ndim <= dim < x.ndim:
        raise CodewordError.of(
            f"a tensor with an axis {dim}", f"shape {tuple(x.shape)}", "pass another dim to the constructor"
        )
    if x.shape[dim] != features:
        raise CodewordError.of(
            f"{features} features on axis {dim}",
            f"{x.shape[dim]} of shape {tuple(x.shape)}",
            f"pass dim= for another axis, or build the quantizer with features={x.shape[dim]}",
        )
    if x.device != device:
        raise CodewordError.of(f"a tensor on {device}", f"one on {x.device}", "move the module or the tensor")
    if mask is not None:
        _check_mask(mask, x, dim)


def _check_mask(mask: Tensor, x: Tensor, dim: int) -> None:
    dim = dim % x.ndim
    shape = x.shape[:dim] + x.shape[dim + 1 :]
    if mask.dtype != torch.bool:
        raise CodewordError.of("a mask of dtype bool", f"{mask.dtype}", "pass mask.bool(); True means valid")
    if mask.shape != shape:
        raise CodewordError.of(
            f"a mask of shape {tuple(shape)} (the input's without its features)",
            f"shape {tuple(mask.shape)}",
            "expand or reduce the mask",
        )
    if mask.device != x.device:
        raise CodewordError.of(f"a mask on {x.device}", f"one on {mask.device}", "move the mask")


def check_indices(indices: Tensor, codebook_size: int) -> None:
    """Raise unless indices are integers with -1 <= index < codebook_size; in a traced program only the dtype."""
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise CodewordError.of("indices of an integer dtype", f"{indices.dtype}", "pass what encode returned")
    if torch.compiler.is_compiling() or not indices.numel():
        return
    low, high = (int(bound) for bound in indices.aminmax())
    if low < -1 or high >= codebook_size:
        raise CodewordError.of(
            f"indices from 0 to {codebook_size - 1} (-1 where masked)",
            f"{low if low < -1 else high}",
            "check that they were made by this quantizer",
        )


def refuse_inside_backward() -> None:
    """Raise when called while autograd runs a backward pass: a recomputed forward would learn twice."""
    if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            "a quantizer in training mode was called inside backward (activation checkpointing recomputes its "
            "forward), so its codes would learn from the batch twice; leave the quantizer out of the checkpointed "
            "part of the model"
        )
