"""Sums and counts of rows by segment as one operator, `torch.ops.codeword.segment_sum`.

`segment_sum(rows (G, N, D), indices (G, N), size, weights (G, N) or None)` gives counts (G, size) and sums
(G, size, D).
Rows and weights are of one floating type. Shapes are the caller's to check.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.kernels.segment_sum import scattered, sorted_segments

__all__ = ["segment_sum"]


def _segment_sum(rows: Tensor, indices: Tensor, size: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    run = scattered.segment_sum if rows.device.type == "cpu" else sorted_segments.segment_sum
    if weights is None:
        return run(rows, indices, size, rows.new_ones(indices.shape))
    # Rows of weight 0 go to a segment more, which is dropped: they cannot be multiplied away, 0 times NaN is NaN.
    indices = torch.where(weights != 0, indices, size)
    counts, sums = run(rows * weights[..., None], indices, size + 1, weights)
    return counts[:, :size].contiguous(), sums[:, :size].contiguous()


def _shape(rows: Tensor, indices: Tensor, size: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    return rows.new_empty((rows.shape[0], size)), rows.new_empty((rows.shape[0], size, rows.shape[2]))


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define(
    "segment_sum(Tensor rows, Tensor indices, SymInt size, Tensor? weights) -> (Tensor counts, Tensor sums)"
)
_LIBRARY.impl("segment_sum", _segment_sum, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::segment_sum", _shape, lib=_LIBRARY)

segment_sum = torch.ops.codeword.segment_sum.default
