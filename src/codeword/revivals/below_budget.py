"""Revival of codes that have used up their budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Revival, State
from codeword.checks import at_least, between

__all__ = ["BelowBudget"]


@dataclass(frozen=True)
class BelowBudget(Revival):
    """Every code has a share of a budget of K that follows its use. Below `share` it is dead, and gets 1 when it moves.

    With n_k the rows of a step and N their sum:

        B_k <- d B_k + (1 - d) K n_k / N, then scaled so that sum B = K

    Unlike `BelowShare` it keeps its own statistics, which do not depend on the decay of the rule and start at 1 for all
    codes. So a code that is never chosen is dead after log(share) / log(d) steps.

    Args:
        share: of the mean budget, 0 <= share < 1; at 0 no code is ever dead, and the budget is only kept.
        decay: d, 0 < d < 1.
        at_most: how many codes may be replaced in one step; None: one in 32, at least one.

    Source: the expiry of quantizer-pytorch.
    """

    share: float = 0.05
    decay: float = 0.99
    at_most: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("share of BelowBudget", self.share, 0)
        if self.share:
            between("share of BelowBudget", self.share, 0, 1)
        between("decay of BelowBudget", self.decay, 0, 1)

    def state(self, cluster_size: Tensor) -> State:
        return {"budget": torch.ones_like(cluster_size)}

    def observe(self, state: State, counts: Tensor, total: Tensor) -> State:
        size = counts.shape[-1]
        share = size * counts / total.clamp_min(1)
        budget = state["budget"].lerp(share, 1 - self.decay)
        budget = budget * (size / budget.sum(-1, keepdim=True))
        return {"budget": torch.where(total > 0, budget, state["budget"])}

    def dead(self, state: State) -> Tensor:
        return state["budget"] < self.share
