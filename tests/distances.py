"""Distances to compare with: direct differences in float64. `torch.cdist` expands the square for over 25 rows."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["squared_distances"]


def squared_distances(rows: Tensor, codes: Tensor) -> Tensor:
    """|x - c|^2 (..., N, K) for rows (..., N, D) and codes (..., K, D)."""
    rows, codes = rows.detach().double(), codes.detach().double()
    return torch.stack([(rows - code[..., None, :]).square().sum(-1) for code in codes.unbind(-2)], -1)
