"""What tokenizers take: tensors of one kind of numbers and within one range."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["check_range", "to_float"]


def to_float(
    x: Tensor, dtype: torch.dtype, integers: Mapping[torch.dtype, tuple[float, float]], remedy: str
) -> Tensor:
    """Numbers in the dtype of a model: floats as they are, integers as x / a + b.

    Args:
        x: of any shape.
        dtype: floating-point.
        integers: the integer dtypes that are taken, with a and b of each.
        remedy: what to do with others.

    Raises:
        CodewordError: no tensor, or one of another dtype.

    Examples:
        >>> whole = torch.tensor([0, 255], dtype=torch.uint8)
        >>> to_float(whole, torch.float32, {torch.uint8: (127.5, -1.0)}, "convert it")
        tensor([-1.,  1.])
    """
    if not isinstance(x, Tensor) or not (x.is_floating_point() or x.dtype in integers):
        kinds = " or ".join(["floating-point", *(str(kind).removeprefix("torch.") for kind in integers)])
        got = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise CodewordError.of(f"a {kinds} tensor", got, remedy)
    if x.dtype in integers:
        divisor, offset = integers[x.dtype]
        x = x.to(torch.promote_types(dtype, torch.float32)) / divisor + offset
    return x if x.dtype == dtype else x.to(dtype)


def check_range(x: Tensor, most: float, expected: str, remedy: str) -> None:
    """Raise unless all numbers are from -most to most; a traced program does not check.

    Raises:
        CodewordError: naming the largest, or NaN.
    """
    if torch.compiler.is_compiling() or x.is_meta or not x.numel():
        return
    largest = float(x.detach().abs().amax())
    if not largest <= most:
        raise CodewordError.of(expected, f"{largest:.6g}", remedy)
