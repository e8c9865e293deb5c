"""Small tensors of fixed numbers, made once for each device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["bit_table", "constant", "kept", "numbers", "where_else"]

_MADE: dict[tuple[Any, torch.device, torch.dtype], Tensor] = {}


def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.int64) -> Tensor:
    """The numbers as a tensor that must not be written to.

    Not a buffer, so a module that was built on the meta device has its constants too.

    Examples:
        >>> constant((8, 5, 5), torch.device("cpu"))
        tensor([8, 5, 5])
    """
    return kept(values, lambda: torch.tensor(values, device=device, dtype=dtype), device, dtype)


def where_else(keep: Tensor, values: Tensor, other: float) -> Tensor:
    """The values where `keep`, and a number elsewhere; torch.where would make a tensor of the number each time.

    Examples:
        >>> where_else(torch.tensor([True, False]), torch.tensor([1.0, 2.0]), 0.0)
        tensor([1., 0.])
    """
    if torch.compiler.is_compiling():  # there a number costs nothing
        return torch.where(keep, values, other)
    return torch.where(keep, values, constant((other,), values.device, values.dtype))


def numbers(count: int, device: torch.device) -> Tensor:
    """0, 1, ... count - 1, int64; it must not be written to.

    Examples:
        >>> numbers(3, torch.device("cpu"))
        tensor([0, 1, 2])
    """
    return kept(
        ("numbers", count), lambda: torch.arange(count, dtype=torch.int64, device=device), device, torch.int64
    )


def bit_table(bits: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """All combinations (2^bits, bits) of 0 and 1, the first bit the most significant; it must not be written to.

    Examples:
        >>> bit_table(2, torch.device("cpu"), torch.int64)
        tensor([[0, 0],
                [0, 1],
                [1, 0],
                [1, 1]])
    """

    def make() -> Tensor:
        numbers = torch.arange(2**bits, dtype=torch.int64, device=device)
        worth = 2 ** torch.arange(bits - 1, -1, -1, dtype=torch.int64, device=device)
        return (numbers[:, None] // worth % 2).to(dtype)  # ONNX shifts no int64

    return kept(bits, make, device, dtype)


def kept(key: Any, make: Callable[[], Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
    """What `make` makes, once for each key, device and dtype; it must not be written to."""
    if torch.compiler.is_compiling():
        return make()
    found = _MADE.get((key, device, dtype))
    if found is not None:
        return found
    with torch.inference_mode(False):  # a tensor of inference mode could not be saved for a backward pass
        made = make()
    if type(made) is Tensor:  # not one that a tracer stands in for
        _MADE[key, device, dtype] = made
    return made
