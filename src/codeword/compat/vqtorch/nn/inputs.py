"""What happens to the input of a layer before it is quantized: checks, the norm, the groups of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codeword.compat.vqtorch.norms import MAXNORM_CONSTRAINT_VALUE, MaxNormConstraint, Normalize
from codeword.errors import CodewordError

__all__ = ["check_input", "grouped", "input_norm"]

_NORMS = ("none", None, "l2", "l2c", "bn", "gn", "in")


def input_norm(norm: str | None, features: int) -> nn.Module:
    """The module of a norm's name: "l2" is unit length and "l2c" a length of at most 10, the reverse of `cb_norm`.

    "bn", "in" and "gn" are torch's, over (batch, features, positions, 1).
    """
    if norm not in _NORMS:
        raise CodewordError.of("norm 'none', 'l2', 'l2c', 'bn', 'gn' or 'in'", repr(norm), "pass one of them")
    if norm == "l2":
        return Normalize(dim=-1)
    if norm == "l2c":
        return MaxNormConstraint(MAXNORM_CONSTRAINT_VALUE)
    if norm == "bn":
        return nn.BatchNorm2d(features, dtype=torch.float32)
    if norm == "in":
        return nn.InstanceNorm2d(features)
    if norm == "gn":
        if features % 32:
            raise CodewordError.of(
                "a feature_size that 32 divides with norm='gn'", repr(features), "pass another norm"
            )
        return nn.GroupNorm(32, features, eps=1e-6, dtype=torch.float32)
    return nn.Identity()


def check_input(z: Tensor, features: int, dim: int) -> None:
    """Raise unless z has at least two axes, and the features on axis `dim`."""
    if z.ndim < 2:
        raise CodewordError.of(
            "an input of at least 2 axes", f"shape {tuple(z.shape)}", "unsqueeze the first one"
        )
    if not -z.ndim <= dim < z.ndim or z.shape[dim] != features:
        raise CodewordError.of(
            f"feature_size={features} on axis dim={dim}",
            f"shape {tuple(z.shape)}",
            "pass feature_size and dim as the input has them",
        )


def grouped(z: Tensor, norm: nn.Module, dim: int, groups: int) -> Tensor:
    """The normalised input as (..., groups, features of a group)."""
    z = z.movedim(dim, -1)
    if isinstance(norm, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm):
        flat = z.reshape(len(z), -1, z.shape[-1]).movedim(-1, 1)  # (batch, features, positions)
        kind = norm.weight.dtype if norm.weight is not None else z.dtype
        z = norm(flat.to(kind)[..., None])[..., 0].movedim(1, -1).reshape(z.shape).to(z.dtype)
        return z.unflatten(-1, (groups, -1))
    return norm(z.unflatten(-1, (groups, -1)))
