"""The search on CUDA: one program holds a block of rows and its best scores, and goes through all codes.

With TRITON_INTERPRET=1 set before triton is imported, the same code runs on the CPU in NumPy.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared

__all__ = ["Blocks", "search"]


class Blocks(NamedTuple):
    """What a GPU is tuned by. Sizes are powers of two and at least 16, the least for a tile product."""

    rows: int = 64
    codes: int = 64
    features: int = 32
    warps: int = 4
    stages: int = 2
    precision: str = "ieee"  # of the products: "tf32" would pick wrong codes


BLOCKS = Blocks()


def search(rows: Tensor, prepared: Prepared, k: int = 1, *, blocks: Blocks = BLOCKS) -> Tensor:
    """Indices (G, N) of the codes with the largest scores, ties to the lowest index."""
    assert k == 1
    rows = rows.contiguous()
    groups, count, features = rows.shape
    found = torch.empty((groups, count), dtype=torch.int64, device=rows.device)
    if found.numel() == 0:
        return found
    _search[(triton.cdiv(count, blocks.rows), groups)](
        rows,
        prepared.codes.contiguous(),
        prepared.offsets.contiguous(),
        prepared.shift.contiguous(),
        found,
        count,
        prepared.codes.shape[1],
        features,
        ROWS=blocks.rows,
        CODES=blocks.codes,
        FEATURES=blocks.features,
        PRECISION=blocks.precision,
        num_warps=blocks.warps,
        num_stages=blocks.stages,
    )
    return found


@triton.jit(do_not_specialize=["count", "size"])
def _search(  # type: ignore[no-untyped-def]
    rows,  # (groups, count, features)
    codes,  # (groups, size, features), centred
    offsets,  # (groups, size)
    shift,  # (groups, features)
    found,  # (groups, count)
    count,
    size,
    features,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    FEATURES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    group = tl.program_id(1).to(tl.int64)
    rows += group * count * features
    codes += group * size * features
    offsets += group * size
    shift += group * features
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    lane = tl.arange(0, CODES)
    feature = tl.arange(0, FEATURES)
    spoilt = tl.zeros((ROWS,), tl.float32)  # x - x is 0, or NaN where x is not finite
    for first in range(0, features, FEATURES):
        d = first + feature
        at = n[:, None] * features + d[None, :]
        x = tl.load(rows + at, (n < count)[:, None] & (d < features)[None, :], other=0.0)
        spoilt += tl.sum(x - x, 1)
    wanted = (n < count) & (spoilt == 0)
    best = tl.full((ROWS,), float("-inf"), tl.float32)
    winner = tl.zeros((ROWS,), tl.int32)
    for start in range(0, size, CODES):
        code = start + lane
        score = tl.zeros((ROWS, CODES), tl.float32)
        for first in range(0, features, FEATURES):
            d = first + feature
            here = d < features
            x = tl.load(rows + n[:, None] * features + d[None, :], wanted[:, None] & here[None, :], other=0.0)
            x -= tl.load(shift + d, here, other=0.0)[None, :]
            at = code[None, :].to(tl.int64) * features + d[:, None]
            c = tl.load(codes + at, (code < size)[None, :] & here[:, None], other=0.0)
            score = tl.dot(x, c, score, input_precision=PRECISION)
        score += tl.load(offsets + code, code < size, other=float("-inf"))[None, :]
        largest, place = tl.max(score, 1, return_indices=True, return_indices_tie_break_left=True)
        better = largest > best
        best = tl.where(better, largest, best)
        winner = tl.where(better, start + place, winner)
    winner = tl.where(wanted, winner, 0)
    tl.store(found + group * count + n, winner.to(tl.int64), n < count)
