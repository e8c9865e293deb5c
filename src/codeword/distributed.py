"""The collectives that codebooks need. With a single process they do not change their argument.

Each call checks whether a process group exists, not the constructor, because a module may be older than the group. All
of them use the default group, and none of them depends on values that differ between ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from codeword.errors import CodewordError

__all__ = [
    "average_",
    "broadcast_",
    "gather",
    "gather_scalars",
    "is_sharded",
    "is_shared",
    "is_started",
    "rank",
    "sum_",
]


def is_started() -> bool:
    """Whether there is a process group, if only of one process."""
    return dist.is_available() and dist.is_initialized()


def is_shared() -> bool:
    """Whether there is more than one process to agree with."""
    return is_started() and dist.get_world_size() > 1


def is_sharded(tensor: object) -> bool:
    """Whether this is a DTensor: a piece of a tensor, with the other pieces on other ranks."""
    return isinstance(tensor, Tensor) and hasattr(tensor, "placements")  # its import takes longer than a step


def rank() -> int:
    """The number of this process, 0 when alone."""
    return dist.get_rank() if is_shared() else 0


def gather(values: Tensor) -> Tensor:
    """The values (...) of each rank, in the order of the ranks: (ranks, ...)."""
    if not is_shared():
        return values[None]
    # A sum of numbers in places of their own: every torch has all_reduce, where gathering has been renamed.
    places = values.new_zeros(dist.get_world_size(), *values.shape)
    places[dist.get_rank()] = values
    return sum_(places)


def gather_scalars(value: Tensor, signature: int = 0) -> Tensor:
    """One int64 scalar from each rank, in the order of the ranks: shape (ranks,).

    Args:
        signature: of the caller. Where it is not 0, those of all ranks are compared, which waits for the device.

    Raises:
        CodewordError: on every rank that gave a signature, when they are not all the same.
    """
    if not is_shared():
        return value.reshape(1)
    values, signatures = gather(torch.stack([value, torch.full_like(value, signature)])).unbind(1)
    if signature:
        _check_equal(signatures.tolist())
    return values


def sum_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its sum over all ranks."""
    if is_shared():
        dist.all_reduce(tensor)
    return tensor


def average_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its mean over all ranks."""
    return sum_(tensor).div_(dist.get_world_size()) if is_shared() else tensor


def broadcast_(tensor: Tensor) -> Tensor:
    """Replace a tensor by rank 0's."""
    if is_shared():
        with torch.no_grad():
            dist.broadcast(tensor, src=0)
    return tensor


def _check_equal(signatures: list[int]) -> None:
    others = [str(rank) for rank, signature in enumerate(signatures) if signature != signatures[0]]
    if others:
        raise CodewordError.of(
            "the same quantizer on every rank",
            f"another one than rank 0 has on rank {', '.join(others)}",
            "build it with the same arguments and load the same checkpoint everywhere, and call the quantizers of a "
            "model in the same order; an update rule with sync=False gives each rank codes of its own",
        )
