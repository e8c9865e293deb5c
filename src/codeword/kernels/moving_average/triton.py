"""The step of a moving average in one launch."""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from torch.autograd.graph import increment_version

from codeword.kernels.moving_average import MIN_SIZE
from codeword.kernels.moving_average.triton_code import moving_average as kernel
from codeword.kernels.triton.host import launch

__all__ = ["in_place_", "moving_average"]

CODES, FEATURES = 32, 64  # of a program


def moving_average(
    codes: Tensor, size: Tensor, counts: Tensor, sums: Tensor, total: Tensor, decay: float | None
) -> tuple[Tensor, Tensor]:
    """New codes (G, K, D) and sizes (G, K)."""
    codes = codes.contiguous()
    moved = torch.empty_like(codes)
    return moved, _move(codes, size, counts, sums, total, decay, moved)


def in_place_(
    codes: Tensor, size: Tensor, counts: Tensor, sums: Tensor, total: Tensor, decay: float | None
) -> Tensor:
    """The same, written into contiguous codes; the sizes come back."""
    after = _move(codes, size, counts, sums, total, decay, codes)
    increment_version(codes)  # a kernel does not do this; it marks prepared codes as outdated
    return after


def _move(
    codes: Tensor,
    size: Tensor,
    counts: Tensor,
    sums: Tensor,
    total: Tensor,
    decay: float | None,
    moved: Tensor,
) -> Tensor:
    size, counts, sums = (part.contiguous() for part in (size, counts, sums))
    after = torch.empty_like(size)
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
            MIN_SIZE=MIN_SIZE,
            CODES=CODES,
            CHUNK=min(FEATURES, triton.next_power_of_2(features)),
        )
    return after
