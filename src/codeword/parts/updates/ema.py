"""Codes as exponential moving averages of their rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.parts.axes import Init, Revival, State, Update
from codeword.parts.checks import at_least
from codeword.parts.inits import KMeans
from codeword.parts.revivals import Relative
from codeword.parts.updates.counting import check_rule, decay_of, running

__all__ = ["EMA"]


@dataclass(frozen=True)
class EMA(Update):
    """Each code is the running mean of the rows that chose it. The default.

    With n_k the rows that chose code k in a step, and s_k their sum:

        N_k <- g N_k + (1 - g) n_k        S_k <- g S_k + (1 - g) s_k        c_k <- S_k / N_k

    Counts and sums start consistent (S = N c), and a code that no row chose stays exactly where it is.

    Args:
        decay: g, 0 < g < 1. None: from the load, g = 1 - N / (25 K) within 0.8 to 0.98 for N valid rows and K
            codes, so that a code is the mean of about its last twenty-five rows: enough to lie still on still
            data, and few enough to follow an encoder that moves. Of those of the last fifty steps where rows are
            few, or codes that an encoder left behind would be found dead too late.
        init: where the first codes come from, on the first training batch; None keeps the normal start.
        revival: when a code is dead and is moved to a row of the batch; None: never.
        sync: whether ranks learn one codebook together. False: each its own.
        smoothing: e of the Laplace smoothing of the counts that codes are divided by,
            (N_k + e) / (sum N + K e) sum N; the counts that are kept stay as they are. It pulls rarely used codes
            to the origin, so the default is 0; the papers use 1e-5.
        gathers_first: whether the output of a training forward is made of the codes before its update. Then the
            indices decode to something slightly different until training ends.

    Source: van den Oord et al. 2017, appendix A.1 (arXiv:1711.00937); Razavi et al. 2019 (arXiv:1906.00446).
    """

    decay: float | None = None
    init: Init | None = KMeans()
    revival: Revival | None = Relative()
    sync: bool = True
    smoothing: float = 0.0
    gathers_first: bool = False

    def __post_init__(self) -> None:
        check_rule(self, self.decay)
        at_least("smoothing of EMA", self.smoothing, 0)

    def decay_of(self, load: Tensor) -> Tensor:
        """g for a step whose valid rows per code are `load`."""
        return decay_of(self.decay, load)

    def state(self, codes: Tensor, counts: Tensor) -> State:
        return {"counts": counts.clone(), "sums": counts[:, None] * codes}

    def update(self, codes: Tensor, state: State, hits: Tensor, hit_sums: Tensor) -> tuple[Tensor, State]:
        counts, g = running(state["counts"], hits, self.decay)
        hit = hits[:, None] > 0
        # Without hits S = N c is set, not decayed: the code cannot drift by rounding, nor S become denormal.
        sums = torch.where(hit, g * state["sums"] + (1 - g) * hit_sums, counts[:, None] * codes)
        total = counts.sum()
        smoothed = (counts + self.smoothing) / (total + len(counts) * self.smoothing) * total
        divisor = smoothed if self.smoothing else counts
        return torch.where(hit, sums / divisor[:, None], codes), {"counts": counts, "sums": sums}
