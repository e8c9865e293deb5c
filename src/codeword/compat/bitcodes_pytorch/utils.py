"""Bits as decimal numbers and back."""

from __future__ import annotations

from torch import Tensor

from codeword import functional
from codeword.errors import CodewordError

__all__ = ["to_binary", "to_bits", "to_decimal"]


def to_decimal(bits: Tensor) -> Tensor:
    """The number that each row of bits is, the first bit the most significant: (..., num_bits) to (...), int64.

    Raises:
        CodewordError: other values than 0 and 1, or more than 63 bits.

    Examples:
        >>> import torch
        >>> to_decimal(torch.tensor([[[0, 0, 0, 0], [1, 0, 1, 1]]]))
        tensor([[ 0, 11]])
    """
    return functional.to_indices(_not_negative(bits, "bits of 0 and 1"))


def to_bits(indices: Tensor, num_bits: int) -> Tensor:
    """The bits of each number: (...) to (..., num_bits), int64.

    Raises:
        CodewordError: a number that is negative or does not fit.

    Examples:
        >>> import torch
        >>> to_bits(torch.tensor([0, 11]), num_bits=4)
        tensor([[0, 0, 0, 0],
                [1, 0, 1, 1]])
    """
    return functional.to_bits(_not_negative(indices, "indices of at least 0"), num_bits)


to_binary = to_bits  # the name in the document


def _not_negative(values: Tensor, what: str) -> Tensor:
    if values.numel() and values.min() < 0:
        raise CodewordError.of(what, f"{values.min().item()}", "nothing is masked here: leave such rows out")
    return values
