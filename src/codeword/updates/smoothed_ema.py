"""Moving averages that store their smoothed counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Init, Revival, State, Update, Updated
from codeword.checks import at_least
from codeword.errors import CodewordError
from codeword.inits import KMeans
from codeword.revivals import BelowShare
from codeword.updates.counting import if_any, rate_of, running, smoothed

__all__ = ["SmoothedEMA"]


@dataclass(frozen=True)
class SmoothedEMA(Update):
    """`EMA` as in older libraries: the smoothed counts are stored, and smoothed again at the next step.

    With n_k the rows that chose code k in a step, s_k their sum, and N the sum of all N_k:

        N_k <- g N_k + (1 - g) n_k      N_k <- (N_k + e) / (N + K e) N      S_k <- g S_k + (1 - g) s_k

    and c_k <- S_k / N_k for every code, chosen or not. So a code that no row chooses is pulled to the origin: its
    sum decays without end, its count to e / (1 - g). `patience` ends that: such a code stays where it then is.
    Prefer `EMA`, unless numbers must be those of such a library.

    Args:
        decay: g, 0 < g < 1. None: from the load, as for `EMA`.
        smoothing: e.
        patience: steps without a row after which a code stops moving, until a row chooses it; None: never.
        init: as for `EMA`.
        revival: as for `EMA`.
        sync: as for `EMA`.

    Source: pytorch-tools; van den Oord et al. 2017, appendix A.1 (arXiv:1711.00937), with Laplace smoothing.
    """

    decay: float | None = 0.99
    smoothing: float = 1e-5
    patience: int | None = 100
    init: Init | None = KMeans()
    revival: Revival | None = BelowShare()
    sync: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("smoothing of SmoothedEMA", self.smoothing, 0)
        if self.patience is not None and (not isinstance(self.patience, int) or self.patience < 0):
            raise CodewordError.of(
                "a number of steps as patience", repr(self.patience), "pass None for never"
            )

    def state(self, codes: Tensor, cluster_size: Tensor) -> State:
        state = {"cluster_size": cluster_size, "sums": cluster_size[..., None] * codes}
        return state if self.patience is None else state | {"waited": torch.zeros_like(cluster_size)}

    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        rate = rate_of(self.decay, total, codes.shape[-2], codes.dtype)
        size = smoothed(running(state, counts, rate), self.smoothing)
        sums = state["sums"].lerp(sums, rate)
        new = {"cluster_size": size, "sums": sums}
        moved = sums / size[..., None]
        if self.patience is not None:
            waited = torch.where(counts > 0, 0.0, state["waited"] + 1)
            rests = (waited > self.patience)[..., None]
            moved = torch.where(rests, codes, moved)
            new |= {"sums": torch.where(rests, size[..., None] * codes, sums), "waited": waited}
        return if_any(total, (moved, new), codes, state)
