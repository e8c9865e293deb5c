"""Sums by sorting the rows by segment: no atomics, so the order of summation is fixed on a GPU too."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["segment_sum"]

LONGEST = 256  # rows summed at once in their own precision; the sums of such pieces are summed in float64


def segment_sum(rows: Tensor, indices: Tensor, size: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Counts (size,) and sums (size, D) of rows (N, D)."""
    segments, order = indices.sort(stable=True)
    edges = torch.searchsorted(segments, torch.arange(size + 1, device=rows.device))
    cuts = torch.arange(0, len(rows), LONGEST, device=rows.device)
    cuts = (
        torch.cat([edges, cuts]).sort().values
    )  # where pieces begin: their number does not depend on the data
    pieces = torch.searchsorted(cuts, edges).diff()

    def summed(values: Tensor) -> Tensor:
        return _reduced(_reduced(values[order], cuts.diff()).double(), pieces)

    if weights is None:
        return edges.diff(), summed(rows)
    return summed(weights[:, None])[:, 0], summed(rows * weights[:, None])


def _reduced(values: Tensor, lengths: Tensor) -> Tensor:
    # unsafe=True, because the check of the lengths would wait for the device
    return torch.segment_reduce(values, "sum", lengths=lengths, unsafe=True, initial=0)
