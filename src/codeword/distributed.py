"""The few collectives that codebooks need. Alone, each one leaves its argument as it is.

Whether a process group exists is asked at each call, never at construction: a module may be older than the
group. All of them use the default group, and none of them depends on values that differ between ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["from_first_", "gather_scalars", "is_shared", "rank", "sum_"]


def is_shared() -> bool:
    """Whether there is more than one process to agree with."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """The number of this process, 0 when alone."""
    return dist.get_rank() if is_shared() else 0


def gather_scalars(value: Tensor) -> Tensor:
    """One int64 scalar from each rank, in the order of the ranks: shape (ranks,)."""
    if not is_shared():
        return value.reshape(1)
    gathered = value.new_zeros(dist.get_world_size())  # a sum of numbers in places of their own: every torch
    gathered[dist.get_rank()] = value  # has all_reduce, where gathering into one tensor was renamed
    return sum_(gathered)


def sum_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its sum over all ranks."""
    if is_shared():
        dist.all_reduce(tensor)
    return tensor


def from_first_(tensor: Tensor) -> Tensor:
    """Replace a tensor by rank 0's."""
    if is_shared():
        with torch.no_grad():
            dist.broadcast(tensor, src=0)
    return tensor
