"""What the tensor cores multiply: the codes in two parts of bfloat16, or as the halves that they are."""

from __future__ import annotations

import triton
import triton.language as tl

from codeword.kernels.nearest.triton.search_code import two_parts

__all__ = ["split"]


@triton.jit(do_not_specialize=["size", "padded"])
def split(  # type: ignore[no-untyped-def]
    codes,  # (groups, size, D): float32 and centred, or halves
    given,  # (groups, size): their offsets; not read for halves
    high,  # (groups, padded, DIM)
    low,  # (groups, padded, DIM); not written for halves, nor where both parts are packed into `high`
    offsets,  # (groups, padded)
    norms,  # (groups, padded), |c|^2
    waiting,  # (groups,), becomes 0
    size,
    padded,
    D: tl.constexpr,
    DIM: tl.constexpr,
    PACKED: tl.constexpr,
    RAW: tl.constexpr,
    EUCLIDEAN: tl.constexpr,
    WIDE: tl.constexpr,
    CODES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    group = tl.program_id(1).to(tl.int64)
    j = tl.program_id(0).to(tl.int64) * CODES + tl.arange(0, CODES)
    squares = tl.zeros((CODES,), tl.float64)
    spoilt = tl.zeros((CODES,), tl.float32)
    for first in range(0, DIM, CHUNK):
        p = first + tl.arange(0, CHUNK)
        if PACKED:
            d = p % D
            inside = p < 3 * D
        else:
            d = p
            inside = p < D
        here = (j < size)[:, None] & inside[None, :]
        c = tl.load(codes + (group * size + j)[:, None] * D + d[None, :], here, other=0.0)
        at = (group * padded + j)[:, None] * DIM + p[None, :]
        there = (j < padded)[:, None] & (p < DIM)[None, :]
        wide = c.to(tl.float32)
        finite = wide - wide == 0
        spoilt += tl.sum(tl.where(finite, 0.0, 1.0), 1)
        wide = tl.where(finite, wide, 0.0)
        if RAW:
            tl.store(high + at, tl.where(finite, c, 0.0), there)
        else:
            ch, cl = two_parts(wide, high.dtype.element_ty, WIDE)
            if PACKED:
                middle = (p >= D) & (p < 2 * D)
                tl.store(high + at, tl.where(middle[None, :], cl, ch), there)
                wide = tl.where((p < D)[None, :], wide, 0.0)
            else:
                tl.store(high + at, ch, there)
                tl.store(low + at, cl, there)
        squares += tl.sum(wide.to(tl.float64) * wide.to(tl.float64), 1)
    norm = squares.to(tl.float32)
    if RAW:  # in float64, so that the offsets are as exact as float32 can hold them
        offset = (squares * -0.5).to(tl.float32) if EUCLIDEAN else tl.zeros((CODES,), tl.float32)
        offset = tl.where(spoilt == 0, offset, -1.7014117e38)
    else:
        offset = tl.load(given + group * size + j, j < size, other=0.0)
    tl.store(offsets + group * padded + j, tl.where(j < size, offset, float("-inf")), j < padded)
    tl.store(norms + group * padded + j, norm, j < padded)
    tl.store(waiting + group, 0, tl.program_id(0) == 0)
