"""Segment sums with the vector code of `llvm_code`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from codeword.kernels.llvm import engine, pool
from codeword.kernels.llvm.engine import address
from codeword.kernels.segment_sum import llvm_code

__all__ = ["segment_sum"]


def segment_sum(rows: Tensor, indices: Tensor, sums: Tensor, mask: Tensor | None) -> Tensor:
    """Write the sums (G, size, D) of float32 rows (G, N, D) by indices (G, N), and give their counts (G, size)."""
    (groups, count, features), size = rows.shape, sums.shape[1]
    rows, indices = rows.contiguous(), indices.contiguous()
    mask = torch.ones_like(indices, dtype=torch.bool) if mask is None else mask.contiguous()
    counts = indices.new_zeros((groups, size + 1))
    run = _compiled()

    def piece(group: int) -> None:
        scratch = indices.new_empty(size + 1 + count)
        run(
            address(rows, group * count * features),
            address(indices, group * count),
            address(mask, group * count),
            count,
            features,
            size,
            address(scratch),
            address(scratch, size + 1),
            address(counts, group * (size + 1)),
            address(sums, group * size * features),
        )

    pool.for_each(piece, groups)
    return counts[:, :size].contiguous()


@cache
def _compiled() -> Callable[..., None]:
    return engine.function(llvm_code.module(engine.lanes()), "segment_sum")
