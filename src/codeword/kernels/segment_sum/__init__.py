"""Sums and counts of rows by segment as one operator, `torch.ops.codeword.segment_sum`.

`segment_sum(rows (G, N, D), indices (G, N), size, weights (G, N) or None, wide)` gives counts (G, size) and sums
(G, size, D), in float64 if `wide` and in the dtype of the rows if not. Weights are bool (False leaves a row out), or
have the dtype of the rows. Counts are float64 with such weights, and int64 otherwise. The caller checks the shapes. The
plain implementations get the rows (N, D) of all groups, and each group has segments of its own. No sum is one long
chain of float32 additions: from 2^24 on, such a chain no longer counts ones, and rounding errors of equal numbers add
up long before.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.kernels.groups import mapped
from codeword.kernels.nearest import dispatch
from codeword.kernels.segment_sum import scattered, sorted_segments
from codeword.kernels.triton import host

__all__ = ["segment_sum"]


def _segment_sum(
    rows: Tensor, indices: Tensor, size: int, weights: Tensor | None, wide: bool
) -> tuple[Tensor, Tensor]:
    sums = rows.new_empty((rows.shape[0], size, rows.shape[2]), dtype=torch.float64 if wide else rows.dtype)
    if rows.dtype == torch.float32 and not host.obstacle() and host.serves(rows):
        from codeword.kernels.segment_sum import triton

        return triton.segment_sum(rows, indices, sums, weights), sums
    masked = weights is None or weights.dtype == torch.bool
    if masked and not wide and dispatch.packs(rows):
        from codeword.kernels.segment_sum import llvm

        return llvm.segment_sum(rows, indices, sums, weights), sums
    return _plain(rows, indices, sums, weights), sums


def _plain(rows: Tensor, indices: Tensor, sums: Tensor, weights: Tensor | None) -> Tensor:
    """Write the sums, and give the counts."""
    groups, slots, features = sums.shape
    size = slots
    if weights is not None:
        # Rows of weight 0 go to an extra segment, which is dropped. Multiplying by 0 would not remove them: 0 times NaN
        # is NaN.
        indices = torch.where(weights.bool(), indices, size)
        slots = size + 1
    if groups > 1:
        indices = indices + torch.arange(groups, device=rows.device)[:, None] * slots
    numbers = None if weights is None or weights.dtype == torch.bool else weights.flatten()
    run = scattered.segment_sum if rows.device.type == "cpu" else sorted_segments.segment_sum
    counts, total = run(rows.flatten(0, 1), indices.flatten(), groups * slots, numbers)
    sums.copy_(total.view(groups, slots, features)[:, :size])
    return counts.view(groups, slots)[:, :size].contiguous()


def _shape(
    rows: Tensor, indices: Tensor, size: int, weights: Tensor | None, wide: bool
) -> tuple[Tensor, Tensor]:
    kind = torch.int64 if weights is None or weights.dtype == torch.bool else torch.float64
    sums = rows.new_empty((rows.shape[0], size, rows.shape[2]), dtype=torch.float64 if wide else rows.dtype)
    return rows.new_empty((rows.shape[0], size), dtype=kind), sums


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define(
    "segment_sum(Tensor rows, Tensor indices, SymInt size, Tensor? weights, bool wide)"
    " -> (Tensor counts, Tensor sums)"
)
_LIBRARY.impl("segment_sum", _segment_sum, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::segment_sum", _shape, lib=_LIBRARY)

segment_sum = torch.ops.codeword.segment_sum.default
torch.library.register_vmap("codeword::segment_sum", mapped(segment_sum), lib=_LIBRARY)
