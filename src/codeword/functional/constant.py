"""Small tensors of fixed numbers, made once for each device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["constant"]

_MADE: dict[tuple[tuple[float, ...], torch.device, torch.dtype], Tensor] = {}


def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.int64) -> Tensor:
    """The numbers as a tensor that must not be written to.

    Not a buffer: a module that was built on the meta device has its constants all the same.

    Examples:
        >>> constant((8, 5, 5), torch.device("cpu"))
        tensor([8, 5, 5])
    """
    found = _MADE.get((values, device, dtype)) if not torch.compiler.is_compiling() else None
    if found is not None:
        return found
    with torch.inference_mode(False):  # a tensor of inference mode could not be saved for a backward pass
        made = torch.tensor(values, device=device, dtype=dtype)
    if not torch.compiler.is_compiling() and type(made) is Tensor:  # not one that a tracer stands in for
        _MADE[values, device, dtype] = made
    return made
