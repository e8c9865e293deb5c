"""Codes that do not move."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Init, State, Transform, Update, Updated
from codeword.inits import KMeans

__all__ = ["Frozen"]


@dataclass(frozen=True)
class Frozen(Update):
    """The codes never change; only their transform can learn.

    There is nothing to revive: a code that is not used cannot move.

    Args:
        init: where the codes come from, on the first training batch; None keeps the normal start.
        transform: a map of the codes before the search: `Linear` makes this SimVQ.
        sync: whether ranks start from one batch together.
    """

    init: Init | None = KMeans()
    transform: Transform | None = None
    sync: bool = True
    revival = None
    learns = False
    uses_sums = False

    def state(self, codes: Tensor, cluster_size: Tensor) -> State:
        return {}

    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        return codes, state
