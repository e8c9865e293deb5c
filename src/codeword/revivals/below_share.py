"""Revival of codes whose share of the load is too small."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Revival, State
from codeword.checks import between

__all__ = ["BelowShare"]


@dataclass(frozen=True)
class BelowShare(Revival):
    """A code is dead when its running count is below `share` of the mean count. The default.

    Scale-free: the rule is the same for a thousand rows a code and for a tenth of a row (an absolute threshold
    replaces everything in the second case). Dead codes move to rows drawn from the batch.

    Args:
        share: of the mean count, 0 < share < 1.
        at_most: how many codes may be replaced in one step; None: one in 32, at least one.

    Source: the relative expiry of quantizer-pytorch's budget, on counts.
    """

    share: float = 0.05
    at_most: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        between("share of BelowShare", self.share, 0, 1)

    def dead(self, state: State) -> Tensor:
        return state["cluster_size"] < self.share * state["cluster_size"].mean(-1, keepdim=True)
