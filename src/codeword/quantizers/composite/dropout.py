"""Components that training leaves out: how many stay, and what stands in for those that do not."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.functional import Purpose
from codeword.quantizers.assignment import Assignment, Step

__all__ = ["broadcast_to", "draw_kept", "filled", "without_dropped"]


def draw_kept(step: Step, dropout: float, lowest: int, count: int) -> Tensor:
    """How many of `count` components each row (N,) keeps: for a share `dropout` of the items `lowest` or more."""
    assert step.items is not None
    which, how_many = step.key.uniform_at(Purpose.DROPOUT, step.items, 2).unbind(1)
    shortened = lowest + (how_many * (count - lowest + 1)).long()
    return torch.where(which < dropout, shortened, count)


def filled(index: Tensor) -> tuple[Tensor, Tensor]:
    """Index 0 for rows whose component was left out, and which rows (N,) have it."""
    stays = (index >= 0).flatten(1).any(1) if index.ndim > 1 else index >= 0
    return torch.where(broadcast_to(stays, index), index, 0), stays


def without_dropped(own: Assignment) -> tuple[Assignment, Tensor]:
    """An assignment with index 0 for rows that left the component out and do not count; and which rows (N,) have it."""
    index, stays = filled(own.indices)
    step = own.step._replace(valid=own.step.valid.among(stays))
    return own._replace(indices=index, step=step), stays


def broadcast_to(mask: Tensor, indices: Tensor) -> Tensor:
    """The mask (N,) with as many axes as the indices."""
    return mask.view(*mask.shape, *[1] * (indices.ndim - mask.ndim))
