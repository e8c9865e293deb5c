"""Which of several processes this is, when torchrun or `accelerate launch` started them."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Launched", "launched"]


@dataclass(frozen=True)
class Launched:
    """The place of this process among those that were started together; alone: 0 of 1."""

    rank: int
    count: int
    local_rank: int  # among those of this machine


def launched() -> Launched:
    """What the launcher says, in the variables RANK, WORLD_SIZE and LOCAL_RANK.

    Example:
        >>> launched()
        Launched(rank=0, count=1, local_rank=0)
    """
    rank, count, local = (int(os.environ.get(name, 0)) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Launched(rank, max(1, count), local)
