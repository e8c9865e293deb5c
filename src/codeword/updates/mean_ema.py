"""Codes as moving averages of the means of their rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Init, Revival, State, Update, Updated
from codeword.inits import KMeans
from codeword.revivals import BelowShare
from codeword.updates.counting import rate_of, running

__all__ = ["MeanEMA"]


@dataclass(frozen=True)
class MeanEMA(Update):
    """At each step a code moves a fixed part of the way to the mean of the rows that chose it, however many they are.

    With n_k the rows that chose code k in a step, and s_k their sum:

        c_k <- g c_k + (1 - g) s_k / n_k        where n_k > 0

    A code that no row chose does not change. Unlike in `EMA`, a step with one row counts as much as one with a
    thousand, so rare codes follow faster and are noisier. The running counts are only for revival.

    Args:
        decay: g, 0 < g < 1. None: from the load, as for `EMA`.
        init: as for `EMA`.
        revival: as for `EMA`.
        sync: as for `EMA`.

    Source: the budgeted vector quantization of quantizer-pytorch.
    """

    decay: float | None = None
    init: Init | None = KMeans()
    revival: Revival | None = BelowShare()
    sync: bool = True

    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        rate = rate_of(self.decay, total, codes.shape[-2], codes.dtype)
        mean = sums / counts.clamp_min(1)[..., None]
        moved = torch.where(counts[..., None] > 0, codes.lerp(mean, rate), codes)
        return moved, {"cluster_size": running(state, counts, rate)}
