"""Codes as exponential moving averages of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Init, Revival, State, Update, Updated
from codeword.checks import at_least
from codeword.functional.drift import drifted
from codeword.inits import KMeans
from codeword.kernels import moving_average as kernel
from codeword.revivals import BelowShare
from codeword.updates.counting import rate_of, running, smoothed

__all__ = ["EMA"]


@dataclass(frozen=True)
class EMA(Update):
    """Each code is the moving average of the rows that chose it. The default.

    With n_k the rows that chose code k in a step, and s_k their sum:

        N_k <- g N_k + (1 - g) n_k        c_k <- c_k + (1 - g) (s_k - n_k c_k) / N_k

    which is the moving average S_k <- g S_k + (1 - g) s_k, c_k = S_k / N_k, without a second copy of the codes. A code
    that no row chose does not change, unless it follows the drift of the others.

    Args:
        decay: g, 0 < g < 1. None: from the load, g = 1 - N / (25 K) clamped to 0.8 ... 0.98 for N valid rows and K
            codes. So a code is the mean of about its last 25 rows, which is stable on still data and follows an encoder
            that changes. It is the mean of at most the last 50 steps, so that codes that the encoder has left are soon
            found dead.
        init: where the first codes come from, on the first training batch; None keeps the normal start.
        revival: when a code is dead and is moved to a row of the batch; None: never.
        sync: whether all ranks learn one codebook. False: each rank learns its own.
        smoothing: e of the Laplace smoothing of the counts in the denominator, N'_k = (N_k + e) / (sum N + K e) sum N,
            S_k = N'_k c_k. It pulls rarely used codes to the origin, so the default is 0; the papers use 1e-5.
        drift: whether all codes first move by the affine map that fits the chosen ones to their rows best. With fewer
            rows than codes a step, most codes are not chosen, and they fall behind an encoder that learns.

    Source: van den Oord et al. 2017, appendix A.1 (arXiv:1711.00937); Razavi et al. 2019 (arXiv:1906.00446). That
    unchosen codes follow the others: NSVQ, 2026 (arXiv:2606.11363), by a kernel there; the affine map is our own.
    """

    decay: float | None = None
    init: Init | None = KMeans()
    revival: Revival | None = BelowShare()
    sync: bool = True
    smoothing: float = 0.0
    drift: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("smoothing of EMA", self.smoothing, 0)

    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        if self.drift:
            codes = drifted(codes, counts, sums, total)
        if not self.smoothing:
            step = kernel.moving_average if kernel.serves(codes) else kernel.plain
            codes, size = step(codes, state["cluster_size"], counts, sums, total, self.decay)
            return codes, {"cluster_size": size}
        rate = rate_of(self.decay, total, codes.shape[-2], codes.dtype)
        size = running(state, counts, rate)
        before, after = (smoothed(n, self.smoothing)[..., None] for n in (state["cluster_size"], size))
        moved = ((1 - rate) * before * codes + rate * sums) / after
        return torch.where(counts[..., None] > 0, moved, codes), {"cluster_size": size}

    def update_(
        self, codes: Sequence[Tensor], state: State, counts: Tensor, sums: Tensor, total: Tensor
    ) -> State:
        own = self.smoothing or self.drift or type(self).update is not EMA.update
        if own or torch.compiler.is_compiling() or not kernel.writes_in_place(codes):
            return super().update_(codes, state, counts, sums, total)
        return {
            "cluster_size": kernel.in_place_(codes, state["cluster_size"], counts, sums, total, self.decay)
        }
