"""Revival of codes below a count."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Revival, State
from codeword.checks import at_least

__all__ = ["BelowCount"]


@dataclass(frozen=True)
class BelowCount(Revival):
    """A code is dead when its running count of rows a step is below `count`. It moves to a row of the batch.

    The count is absolute: with fewer than `count` rows per code it replaces codes that are in use, so `BelowShare` is
    the default. Use it to follow a published recipe.

    Args:
        count: rows a step; 2 in SoundStream and EnCodec, 1 in RQ-VAE.
        at_most: how many codes may be replaced in one step; None: one in 32, at least one.

    Source: Zeghidour et al. 2021 (arXiv:2107.03312), section III-C.
    """

    count: float = 2.0
    at_most: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("count of BelowCount", self.count, 0)

    def dead(self, state: State) -> Tensor:
        return state["cluster_size"] < self.count
