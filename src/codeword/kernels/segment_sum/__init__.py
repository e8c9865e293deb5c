"""Sums and counts of rows by segment as one operator, `torch.ops.codeword.segment_sum`.

`segment_sum(rows (G, N, D), indices (G, N), size, weights (G, N) or None, wide)` gives counts (G, size) and sums
(G, size, D), in float64 if `wide` and in the dtype of the rows if not. Weights are bool, which leave rows out, or of
the type of the rows: then counts are float64, and int64 otherwise. Shapes are the caller's to check.

The plain implementations get the rows (N, D) of all groups, each group with segments of its own. No sum is a long
chain of float32, in which one more changes nothing from 2^24 on, and equal numbers all round the same way long before.
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


NUMBERS_AT_ONCE = 1 << 17  # sums of groups that a CPU holds in float64 at once: 1 MiB


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
        # Rows of weight 0 go to a segment more, which is dropped: they cannot be multiplied away, 0 times NaN is NaN.
        indices = torch.where(weights.bool(), indices, size)
        slots = size + 1
    at_once = groups
    if rows.device.type == "cpu":
        at_once = min(groups, max(1, NUMBERS_AT_ONCE // max(1, slots * features)))
    if at_once > 1:
        indices = indices + torch.arange(groups, device=rows.device)[:, None] % at_once * slots
    run = scattered.segment_sum if rows.device.type == "cpu" else sorted_segments.segment_sum
    numbers = weights if weights is not None and weights.dtype != torch.bool else None
    counts = []
    for start in range(0, max(1, groups), max(1, at_once)):
        own = slice(start, start + at_once)
        own_numbers = None if numbers is None else numbers[own].flatten()
        own_rows, own_sums = rows[own].flatten(0, 1), sums[own]
        found, total = run(own_rows, indices[own].flatten(), len(own_sums) * slots, own_numbers)
        own_sums.copy_(total.view(len(own_sums), slots, features)[:, :size])
        counts.append(found.view(len(own_sums), slots)[:, :size])
    return counts[0].contiguous() if len(counts) == 1 else torch.cat(counts)


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
