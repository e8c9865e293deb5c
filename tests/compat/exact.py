"""Distances that are the same on every processor: torch.cdist expands the square, and rounds as products do."""

from __future__ import annotations

from torch import Tensor

__all__ = ["distances"]


def distances(rows: Tensor, codes: Tensor) -> Tensor:
    """Euclidean distances (..., N, K) of rows (..., N, D) to codes (K, D): float64, by their differences."""
    return (rows.double()[..., :, None, :] - codes.double()).square().sum(-1).sqrt()
