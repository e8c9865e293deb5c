"""The step of a moving average in one launch."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from codeword.kernels.moving_average import LEAST
from codeword.kernels.moving_average.triton_code import moving_average as kernel
from codeword.kernels.triton.host import launch

__all__ = ["moving_average"]

CODES, FEATURES = 32, 64  # of a program


def moving_average(
    codes: Tensor, size: Tensor, counts: Tensor, sums: Tensor, total: Tensor, decay: float | None
) -> tuple[Tensor, Tensor]:
    """New codes (G, K, D) and sizes (G, K)."""
    codes, size, counts, sums = (part.contiguous() for part in (codes, size, counts, sums))
    moved, after = torch.empty_like(codes), torch.empty_like(size)
    features = codes.shape[-1]
    if codes.numel():
        launch(
            kernel,
            (triton.cdiv(size.numel(), CODES), triton.cdiv(features, FEATURES)),
            codes,
            size,
            counts,
            sums,
            total,
            moved,
            after,
            codes.shape[-2],
            size.numel(),
            0.0 if decay is None else 1 - decay,
            D=features,
            BY_LOAD=decay is None,
            LEAST=LEAST,
            CODES=CODES,
            CHUNK=min(FEATURES, triton.next_power_of_2(features)),
        )
    return moved, after
