"""Codes that are a parameter."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Init, Revival, State, Transform, Update, Updated
from codeword.inits import KMeans
from codeword.revivals import BelowShare
from codeword.updates.counting import rate_of, running

__all__ = ["Gradient"]


@dataclass(frozen=True)
class Gradient(Update):
    """The codes are a parameter; your optimiser trains them, by a codebook loss or by the task.

    So a part must give them a gradient: the penalty `CodebookLoss`, or the estimators `StraightThrough(sync=1.0)`,
    `Directional` and others that train codes. Codes need about ten times the learning rate of the encoder, constant,
    and no weight decay: `codeword.parameter_groups` makes such groups.

    A revived code keeps its old moments in your optimiser; `codeword.models.reset_moments` clears them.

    Args:
        init: where the first codes come from, on the first training batch; None keeps the normal start.
        revival: when a code is dead and is moved to a row of the batch, at the start of the next training forward,
            so that backward stays valid; None: never.
        transform: a map of the codes before the search.
        decay: of the running counts that revival looks at; None: from the load, as for `EMA`.
        sync: whether ranks count and revive together. DDP averages only gradients, so with False the ranks become
            different when a code is revived or the first codes come from data.

    Source: van den Oord et al. 2017, equation 3 (arXiv:1711.00937).
    """

    init: Init | None = KMeans()
    revival: Revival | None = BelowShare()
    transform: Transform | None = None
    decay: float | None = None
    sync: bool = True
    by_gradient = True
    uses_sums = False

    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        rate = rate_of(self.decay, total, codes.shape[-2], codes.dtype)
        return codes, {"cluster_size": running(state, counts, rate)}
