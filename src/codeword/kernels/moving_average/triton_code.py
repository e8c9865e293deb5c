"""The step of a moving average of many codebooks, in one launch."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["moving_average"]


@triton.jit(do_not_specialize=["size", "codes_in_all", "share"])
def moving_average(  # type: ignore[no-untyped-def]
    codes,  # (codes_in_all, D)
    before,  # (codes_in_all,), running sizes
    counts,  # (codes_in_all,)
    sums,  # (codes_in_all, D)
    total,
    moved,  # (codes_in_all, D)
    after,  # (codes_in_all,)
    size,  # of one codebook
    codes_in_all,
    share,  # 1 - decay
    D: tl.constexpr,
    BY_LOAD: tl.constexpr,
    MIN_SIZE: tl.constexpr,
    CODES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    j = tl.program_id(0).to(tl.int64) * CODES + tl.arange(0, CODES)
    d = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
    rows = tl.load(total).to(tl.float32)
    if BY_LOAD:
        rate = tl.minimum(tl.minimum(tl.maximum(rows / (25.0 * size), 0.02), 0.2), rows)
    else:
        rate = tl.minimum(rows, 1.0) * share
    there = j < codes_in_all
    n, old = tl.load(counts + j, there, other=0.0), tl.load(before + j, there, other=1.0)
    new = tl.where(rate < 0.5, old + rate * (n - old), n - (n - old) * (1.0 - rate))
    new = tl.maximum(new, MIN_SIZE)
    here = there[:, None] & (d < D)[None, :]
    at = j[:, None] * D + d[None, :]
    c, s = tl.load(codes + at, here, other=0.0), tl.load(sums + at, here, other=0.0)
    tl.store(moved + at, c + (rate / new)[:, None] * (s - n[:, None] * c), here)
    if tl.program_id(1) == 0:
        tl.store(after + j, new, there)
