"""Checks of arguments, with messages for users."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from codeword import torch_versions
from codeword.codebooks.learner import Learner
from codeword.errors import CodewordError

if TYPE_CHECKING:
    from codeword.quantizers.hooks import Hooks

__all__ = [
    "as_int64",
    "check_constructor",
    "check_dtype",
    "check_indices",
    "check_input",
    "check_options",
    "check_repeatable",
    "check_size",
    "inside_backward",
]

_ELSEWHERE = {  # names of arguments in other libraries, and their replacement here
    "codebook": "pass it as update=",
    "codebook_dim": "pass it as code_features=",
    "codebook_weight": "pass it as CodebookLoss(...) in penalties=",
    "commitment": "pass it as Commitment(...) in penalties=",
    "commitment_weight": "pass it as Commitment(...) in penalties=",
    "decay": "pass it in update=EMA(decay=...)",
    "dim_features": "pass it as features=",
    "init": "pass it in update=EMA(init=...)",
    "kmeans_init": "leave it out: first codes come from k-means, unless update=EMA(init=None)",
    "learnable_codebook": "pass update=Gradient()",
    "levels": "pass them first after features, as in FSQ(4, (8, 5, 5, 5))",
    "num_codebooks": "build Residual.of(stages, ...) or Grouped.of(groups, ...)",
    "num_quantizers": "build Residual.of(stages, ...)",
    "num_embeddings": "pass it as codebook_size=",
    "num_codes": "pass it as codebook_size=",
    "embedding_dim": "pass it as features=",
    "quantize_dropout": "pass dropout=, the share of items, to Residual",
    "revival": "pass it in update=EMA(revival=...)",
    "rotation_trick": "pass estimator=Rotation()",
    "threshold_ema_dead_code": "pass it in update=EMA(revival=BelowCount(...))",
    "use_cosine_sim": "pass metric=Cosine()",
}


def check_constructor(cls: type, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Raise for unknown arguments; for those of other libraries the message names the replacement."""
    if not options:  # copy and pickle pass no arguments
        return
    known = inspect.signature(getattr(cls, "__init__")).parameters  # noqa: B009
    needed = [
        name for name, p in known.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ][1:]
    missing = [name for name in needed[len(args) :] if name not in options]
    if "features" in missing and "dim" in options:
        raise CodewordError.of(
            "features=, the size of a vector",
            f"dim={options['dim']!r}, which is the axis of the features",
            f"write {cls.__name__}(features={options['dim']!r}, ...)",
        )
    for name in options:
        if name not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            remedy = _ELSEWHERE.get(name, f"pass some of: {', '.join(list(known)[1:])}")
            raise CodewordError.of(f"arguments that {cls.__name__} has", f"{name}={options[name]!r}", remedy)
    if missing:
        raise CodewordError.of(
            f"{', '.join(needed)} for {cls.__name__}", f"no {missing[0]}", f"pass {missing[0]}="
        )


def check_size(name: str, value: object) -> None:
    """Raise unless a value is a positive whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CodewordError.of(
            f"{name} of at least 1", repr(value), f"pass a positive whole number as {name}"
        )


def check_dtype(dtype: torch.dtype | None) -> None:
    """Raise unless this is a dtype that parameters can have."""
    if dtype is not None and not dtype.is_floating_point:
        raise CodewordError.of("a floating-point dtype", f"{dtype}", "pass torch.float32 or leave it out")


def check_options(quantizer: Hooks, **options: int | None) -> None:
    """Raise unless the options of a call are supported and positive."""
    for name, value in options.items():
        if value is None:
            continue
        if name not in quantizer.call_options:
            known = ", ".join(quantizer.call_options)
            remedy = f"it takes: {known}" if known else "it takes no option at a call"
            raise CodewordError.of("an option that this quantizer takes", f"{name}={value!r}", remedy)
        check_size(name, value)


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
        axes = [axis for axis, size in enumerate(x.shape) if size == features]
        remedy = f"build the quantizer with features={x.shape[dim]}, or pass dim= for another axis"
        if axes:
            remedy = f"axis {axes[0]} has {features}: pass dim={axes[0]} to the constructor"
        got = f"{x.shape[dim]} of shape {tuple(x.shape)}"
        raise CodewordError.of(f"{features} features on axis {dim}", got, remedy)
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


def as_int64(indices: Tensor) -> Tensor:
    """Indices of any integer dtype as int64.

    Raises:
        CodewordError: something else than a tensor of integers, or one beyond int64.
    """
    if not isinstance(indices, Tensor):
        got = f"{type(indices).__module__}.{type(indices).__name__}".removeprefix("builtins.")
        raise CodewordError.of("a torch tensor of indices", got, "pass torch.as_tensor(indices)")
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise CodewordError.of("indices of an integer dtype", f"{indices.dtype}", "pass what encode returned")
    whole = indices.to(torch.int64)
    if indices.dtype == torch.uint64 and not torch.compiler.is_compiling() and bool((whole < 0).any()):
        got = f"{int(whole.min()) + 2**64}"
        raise CodewordError.of("indices below 2^63", got, "check that they were made by this quantizer")
    return whole


def check_indices(indices: Tensor, codebook_size: int) -> None:
    """Raise unless -1 <= index < codebook_size. A traced program has no values, so it never raises."""
    if torch.compiler.is_compiling() or not indices.numel():
        return
    low, high = (int(bound) for bound in indices.aminmax())
    if low < -1 or high >= codebook_size:
        raise CodewordError.of(
            f"indices from 0 to {codebook_size - 1} (-1 where masked)",
            f"{low if low < -1 else high}",
            "check that they were made by this quantizer",
        )


def inside_backward() -> bool:
    """Whether autograd runs a backward pass, which recomputes checkpointed activations."""
    return not torch.compiler.is_compiling() and torch_versions.inside_backward()


def check_repeatable(quantizer: Hooks) -> None:
    """Raise if a training forward inside backward would give another result."""
    learns = any(isinstance(module, Learner) and module.writes for module in quantizer.modules())
    if learns or quantizer.random:
        raise RuntimeError(
            "a quantizer in training mode was called inside backward (activation checkpointing recomputes its "
            f"forward), so it would {'learn from the batch twice' if learns else 'draw other numbers'}; leave the "
            "quantizer out of the checkpointed part of the model, or call its .eval()"
        )
