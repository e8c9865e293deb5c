"""Segment sums in a sort and three launches, with equal results at each call."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from codeword.kernels.segment_sum.triton_code import sort_keys, sum_pieces, sum_segments
from codeword.kernels.triton.host import launch

__all__ = ["segment_sum"]

PIECE = 1024  # rows that a program sums at most
ROWS = 16  # rows summed in float32; the sums of these pieces are added in float64
KEYS = 1024  # made by a program


def segment_sum(rows: Tensor, indices: Tensor, sums: Tensor, weights: Tensor | None) -> Tensor:
    """Write the sums (G, size, D) of float32 rows (G, N, D) by indices (G, N), and give their counts (G, size)."""
    (groups, count, features), size = rows.shape, sums.shape[1]
    total, numbers = groups * count, weights is not None and weights.dtype != torch.bool
    kind = torch.float64 if numbers else torch.int64
    if not total or not size:
        sums.zero_()
        return rows.new_zeros((groups, size), dtype=kind)
    counts = rows.new_empty((groups, size), dtype=kind)
    rows, indices = rows.contiguous(), indices.contiguous()
    given = indices if weights is None else weights.contiguous()
    narrow = groups * (size + 1) < 2**31  # half the passes of a sort
    keys = torch.empty_like(indices, dtype=torch.int32 if narrow else torch.int64)
    launch(
        sort_keys,
        (triton.cdiv(count, KEYS), groups),
        indices,
        given,
        keys,
        count,
        size,
        MASKED=weights is not None,
        ROWS=KEYS,
    )
    keys, order = keys.view(-1).sort(stable=True)
    chunk = min(128, triton.next_power_of_2(max(features, 1)))
    chunks = max(1, triton.cdiv(features, chunk))
    pieces = triton.cdiv(total, PIECE)
    parts = rows.new_empty((pieces, features), dtype=torch.float64)
    heavy = rows.new_empty(pieces, dtype=torch.float64)
    tiles = {"D": features, "NUMBERS": numbers, "PIECE": PIECE, "ROWS": ROWS, "CHUNK": chunk}
    if pieces > 1:
        launch(sum_pieces, (pieces, chunks), rows, given, keys, order, parts, heavy, total, **tiles)
    grid = (size, groups, chunks)
    launch(sum_segments, grid, rows, given, keys, order, parts, heavy, counts, sums, total, size, **tiles)
    return counts
