"""Revival of codes whose share of the load is too small."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Revival, State
from codeword.checks import at_least, at_once, between

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
        between("share of BelowShare", self.share, 0, 1)
        if self.at_most is not None:
            at_least("at_most of BelowShare", self.at_most, 1)

    def candidates(self, codebook_size: int) -> int:
        return at_once(self.at_most, codebook_size)

    def dead(self, state: State) -> Tensor:
        return state["cluster_size"] < self.share * state["cluster_size"].mean(-1, keepdim=True)
