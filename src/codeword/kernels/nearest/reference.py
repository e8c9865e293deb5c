"""What nearest means: direct differences in float64, the lowest index among equals. The judge of the rest."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["search"]

SCRATCH_NUMBERS = 1 << 20  # float64 numbers held at once


def search(rows: Tensor, codes: Tensor, metric: str, k: int) -> Tensor:
    """Indices of the k codes at the smallest distance |x - c|^2 ("euclidean") or -x . c ("dot")."""
    groups, count, features = rows.shape
    found = rows.new_empty((groups, count, k), dtype=torch.int64)
    block = max(1, SCRATCH_NUMBERS // (codes.shape[1] * max(features, 1)))
    for group in range(groups):
        for start in range(0, count, block):
            distances = _distances(rows[group, start : start + block], codes[group], metric)
            order = distances.sort(stable=True, dim=-1).indices
            found[group, start : start + block] = order[:, :k]
    return found.squeeze(-1) if k == 1 else found


def _distances(rows: Tensor, codes: Tensor, metric: str) -> Tensor:
    """(N, K) float64; infinite for a code that is not finite, 0 throughout for a row that is not."""
    x, c = rows.double()[:, None, :], codes.double()
    distances = (x - c).square().sum(-1) if metric == "euclidean" else -(x * c).sum(-1)
    distances = torch.where(c.isfinite().all(-1), distances, torch.inf)
    return torch.where(x.isfinite().all(-1), distances, 0.0)
