"""Sums by sorting the rows by segment: no atomics, so the order of summation is fixed on a GPU too."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["segment_sum"]


def segment_sum(rows: Tensor, indices: Tensor, size: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Counts (G, size) and sums (G, size, D) of rows (G, N, D) that are weighted already."""
    groups, _, features = rows.shape
    first = torch.arange(groups, device=rows.device)[:, None] * size
    segments, order = (indices + first).flatten().sort(stable=True)
    edges = torch.searchsorted(segments, torch.arange(groups * size + 1, device=rows.device))
    lengths = edges.diff()

    def reduced(values: Tensor) -> Tensor:  # unsafe: without it the lengths are checked on the host
        return torch.segment_reduce(values[order], "sum", lengths=lengths, unsafe=True, initial=0)

    sums = reduced(rows.reshape(-1, features)).view(groups, size, features)
    return reduced(weights.flatten()).view(groups, size), sums
