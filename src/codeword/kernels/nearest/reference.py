"""The definition of the search: the largest scores in float64, the lowest index among equals. Tests compare with it."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared

__all__ = ["search"]

SCRATCH_NUMBERS = 1 << 20  # float64 numbers held at once


def search(rows: Tensor, prepared: Prepared, k: int) -> Tensor:
    """Indices of the k codes with the largest scores."""
    groups, count, features = rows.shape
    codes, offsets, shift = (part.double() for part in prepared)
    found = rows.new_empty((groups, count, k), dtype=torch.int64)
    block = max(1, SCRATCH_NUMBERS // (codes.shape[1] * max(features, 1)))
    for group in range(groups):
        for start in range(0, count, block):
            x = rows[group, start : start + block].double()[:, None, :]
            scores = ((x - shift[group]) * codes[group]).sum(-1) + offsets[group]
            scores = torch.where(x.isfinite().all(-1), scores, 0.0)
            order = scores.sort(stable=True, dim=-1, descending=True).indices
            found[group, start : start + block] = order[:, :k]
    return found.squeeze(-1) if k == 1 else found
