"""Equal tensors as one with a leading axis, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.torch_versions import copy_each_

__all__ = ["stack_or_view", "stacked", "write_each_"]


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """(G, ...): the tensors with a leading axis; one alone is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))


def stack_or_view(parts: Sequence[Tensor]) -> Tensor:
    """The tensors with a leading axis: without a copy, if they are all pieces of one tensor, in order."""
    whole = None if torch.compiler.is_compiling() else parts[0]._base
    if whole is not None and whole.shape == (len(parts), *parts[0].shape) and whole.is_contiguous():
        size = parts[0].numel()
        start = whole.storage_offset()
        same = (
            part._base is whole and part.storage_offset() == start + number * size
            for number, part in enumerate(parts)
        )
        if all(same):
            return whole
    return torch.stack(list(parts))


def write_each_(tensors: Sequence[Tensor], values: Tensor) -> None:
    """Give each of G tensors its own of the values (G, ...)."""
    if len(tensors) == 1:
        tensors[0].copy_(values[0])
    else:
        copy_each_(list(tensors), list(values.unbind(0)))
