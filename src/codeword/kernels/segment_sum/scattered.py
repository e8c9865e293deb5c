"""Sums by scattering: on a CPU torch adds the rows of a segment in a fixed order."""

from __future__ import annotations

from torch import Tensor

__all__ = ["segment_sum"]


def segment_sum(rows: Tensor, indices: Tensor, size: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Counts (G, size) and sums (G, size, D) of rows (G, N, D) that are weighted already."""
    sums = rows.new_zeros((rows.shape[0], size, rows.shape[2]))
    sums.scatter_add_(1, indices[..., None].expand(rows.shape), rows)
    return rows.new_zeros((rows.shape[0], size)).scatter_add_(1, indices, weights), sums
