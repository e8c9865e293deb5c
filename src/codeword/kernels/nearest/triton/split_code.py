"""What the tensor cores multiply: the codes in two parts of bfloat16, or as the halves that they are."""

from __future__ import annotations

import triton
import triton.language as tl

from codeword.kernels.nearest.triton.search_code import two_parts

__all__ = ["split"]


@triton.jit(do_not_specialize=["size", "padded", "stride"])
def split(  # type: ignore[no-untyped-def]
    codes,  # (groups, size, D)
    middle,  # (groups, D), taken off them; not read if GIVEN, nor for halves
    given,  # (groups, size): their offsets; read if GIVEN
    less,  # groups of `stride` units, as all parts: (padded, D), the centred codes; not written for halves
    high,  # (padded, DIM)
    low,  # (padded, DIM); not written for halves, nor where both parts are packed into `high`
    norms,  # (padded,), |c|^2
    offsets,  # (groups, padded)
    size,
    padded,
    stride,
    D: tl.constexpr,
    DIM: tl.constexpr,
    PACKED: tl.constexpr,
    RAW: tl.constexpr,
    GIVEN: tl.constexpr,
    EUCLIDEAN: tl.constexpr,
    WIDE: tl.constexpr,
    CODES: tl.constexpr,
    CHUNK: tl.constexpr,
    UNIT: tl.constexpr,
):
    group = tl.program_id(1).to(tl.int64)
    own = group * stride * UNIT
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
        wide = c.to(tl.float32)
        if not (RAW or GIVEN):
            wide -= tl.load(middle + group * D + d, inside, other=0.0)[None, :]
        finite = wide - wide == 0
        spoilt += tl.sum(tl.where(finite | (here == 0), 0.0, 1.0), 1)
        wide = tl.where(finite & here, wide, 0.0)
        at = 2 * own + j[:, None] * DIM + p[None, :]
        there = (j < padded)[:, None] & (p < DIM)[None, :]
        if RAW:
            tl.store(high + at, tl.where(finite, c, 0.0), there)
        else:
            once = (j < padded)[:, None] & (p < D)[None, :]
            tl.store(less + own + j[:, None] * D + d[None, :], wide, once)
            ch, cl = two_parts(wide, high.dtype.element_ty, WIDE)
            if PACKED:
                middle_part = (p >= D) & (p < 2 * D)
                tl.store(high + at, tl.where(middle_part[None, :], cl, ch), there)
                wide = tl.where((p < D)[None, :], wide, 0.0)
            else:
                tl.store(high + at, ch, there)
                tl.store(low + at, cl, there)
        squares += tl.sum(wide.to(tl.float64) * wide.to(tl.float64), 1)
    if GIVEN:
        offset = tl.load(given + group * size + j, j < size, other=0.0)
    else:  # in float64, so that the offsets are as exact as float32 can hold them
        offset = (squares * -0.5).to(tl.float32)
        offset = tl.where(
            (spoilt == 0) & (offset - offset == 0), offset, -1.7014117331926443e38
        )  # half the least
        if not EUCLIDEAN:
            offset = tl.where(offset == -1.7014117331926443e38, offset, 0.0)
    tl.store(offsets + group * padded + j, tl.where(j < size, offset, float("-inf")), j < padded)
    tl.store(norms + own + j, squares.to(tl.float32), j < padded)
