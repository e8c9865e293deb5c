"""Equal tensors as one with a leading axis, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.torch_versions import copy_each_

__all__ = ["stacked", "write_each_"]


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """(G, ...): the tensors with a leading axis; one alone is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))


def write_each_(tensors: Sequence[Tensor], values: Tensor) -> None:
    """Give each of G tensors its own of the values (G, ...)."""
    if len(tensors) == 1:
        tensors[0].copy_(values[0])
    else:
        copy_each_(list(tensors), list(values.unbind(0)))
