"""Sums by scattering, in float64: on a CPU torch adds the rows of a segment in a fixed order."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["segment_sum"]

NUMBERS_AT_ONCE = 1 << 18  # numbers converted to float64 at once: 2 MiB, which fit into the cache


def segment_sum(rows: Tensor, indices: Tensor, size: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Counts (size,) and sums (size, D) of rows (N, D)."""
    block = max(1, NUMBERS_AT_ONCE // max(1, rows.shape[1]))
    sums = rows.new_zeros((size, rows.shape[1]), dtype=torch.float64)
    for start in range(0, rows.shape[0], block):
        part = slice(start, start + block)
        wide = rows[part].double()
        if weights is not None:
            wide = wide * weights[part, None]
        sums.index_add_(0, indices[part], wide)
    if weights is None:
        counts = torch.bincount(indices, minlength=size)
    else:
        counts = sums.new_zeros(size).index_add_(0, indices, weights.double())
    return counts, sums
