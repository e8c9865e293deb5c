"""All stages of a residual stack: the residual of a row stays in registers, the codes of each stage are streamed."""

from __future__ import annotations

import triton
import triton.language as tl

from codeword.kernels.nearest.triton.again_code import marked_rows
from codeword.kernels.nearest.triton.search_code import in_order, is_sure, marked, scan

__all__ = ["stack", "stack_again"]


@triton.jit(do_not_specialize=["count", "size", "padded", "stride", "stages"])
def stack(  # type: ignore[no-untyped-def]
    rows,  # (count, D)
    shift,  # (stages, D)
    codes,  # (stages, size, D), as they are
    high,  # stages of `stride` units, as all parts: (padded, DIM)
    low,  # (padded, DIM)
    norms,  # (padded,)
    offsets,  # (stages, padded)
    found,  # (count, stages): indices, and -1 - index at the first stage that a row is to be looked at again from
    seen,  # (stages, count, D): what each stage searched for; written if SEEN
    embedded,  # (stages, count, D): the codes found; written if EMBEDDED
    count,
    size,
    padded,
    stride,
    stages,
    D: tl.constexpr,
    DIM: tl.constexpr,
    PRODUCTS: tl.constexpr,
    PACKED: tl.constexpr,
    ERROR: tl.constexpr,
    SEEN: tl.constexpr,
    EMBEDDED: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    STAGES: tl.constexpr,
    UNIT: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    p = tl.arange(0, DIM)
    d = p % D if PACKED else p
    inside = p < (3 * D if PACKED else D)
    own = (n < count)[:, None] & (p < D)[None, :]
    cell = n[:, None] * D + d[None, :]
    left = tl.load(rows + cell, (n < count)[:, None] & inside[None, :], other=0.0)
    spoilt = tl.sum(left - left, 1)
    open_rows = (n < count) & (spoilt == 0)  # that have been sure so far
    zero = tl.program_id(1).to(tl.int64)  # of the grid's only column
    for m in range(stages):
        stage = zero + m
        if SEEN:
            tl.store(seen + stage * count * D + cell, left, own)
        wide = left - tl.load(shift + stage * D + d, inside, other=0.0)[None, :]
        xh, xl, squares = in_order(wide, p, D, PACKED, high.dtype.element_ty, WIDE)
        own_codes = stage * stride * UNIT
        top, rival, chosen, largest, slack = scan(
            xh,
            xl,
            high + 2 * own_codes,
            low + 2 * own_codes,
            offsets + stage * padded,
            norms + own_codes,
            padded,
            p,
            DIM,
            PRODUCTS,
            WIDE,
            ROWS,
            CODES,
            STAGES,
        )
        chosen = tl.where(spoilt == 0, chosen, 0)
        sure = is_sure(top, rival, squares, largest, slack, ERROR, 0.0)
        tl.store(found + n * stages + m, marked(chosen, open_rows & (sure == 0)), n < count)
        open_rows = open_rows & sure
        picked = (stage * size + chosen)[:, None] * D + d[None, :]
        c = tl.load(codes + picked, (n < count)[:, None] & inside[None, :], other=0.0)
        if EMBEDDED:
            tl.store(embedded + stage * count * D + cell, c, own)
        left -= c


@triton.jit(do_not_specialize=["count", "size", "padded", "stride", "stages", "share"])
def stack_again(  # type: ignore[no-untyped-def]
    rows,
    shift,
    codes,
    centred,  # stages of `stride` units: (padded, D)
    offsets,  # (stages, padded)
    found,
    seen,
    embedded,
    todo,  # (stages, count), scratch
    count,
    size,
    padded,
    stride,
    stages,
    share,  # rows that a program looks through
    D: tl.constexpr,
    DIM: tl.constexpr,
    SEEN: tl.constexpr,
    EMBEDDED: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    LOOK: tl.constexpr,
    UNIT: tl.constexpr,
):
    """The rows whose first uncertain stage is this one: they are searched in float32 from this stage on."""
    first = tl.program_id(1)
    todo += first.to(tl.int64) * count
    looked = tl.program_id(0) * share
    total = marked_rows(found + first, todo, looked, tl.minimum(looked + share, count), stages, LOOK)
    d = tl.arange(0, DIM)
    lane = tl.arange(0, CODES)
    zero = first.to(tl.int64) - first
    for begin in range(0, total, ROWS):
        place = begin + tl.arange(0, ROWS)
        wanted = place < total
        n = tl.load(todo + looked + place, wanted, other=0).to(tl.int64)
        own = wanted[:, None] & (d < D)[None, :]
        cell = n[:, None] * D + d[None, :]
        left = tl.load(rows + cell, own, other=0.0)
        for m in range(stages):
            stage = zero + m
            if m < first:
                win = tl.load(found + n * stages + m, wanted, other=0)
            else:
                x = left - tl.load(shift + stage * D + d, d < D, other=0.0)[None, :]
                best = tl.full((ROWS,), float("-inf"), tl.float32)
                win = tl.zeros((ROWS,), tl.int64)
                for start in range(0, padded, CODES):
                    code = (start + lane).to(tl.int64)
                    at = stage * stride * UNIT + code[None, :] * D + d[:, None]
                    c = tl.load(centred + at, (d < D)[:, None], other=0.0)
                    score = tl.dot(x, c, input_precision="ieee")
                    score += tl.load(offsets + stage * padded + code)[None, :]
                    largest, at_lane = tl.max(
                        score, 1, return_indices=True, return_indices_tie_break_left=True
                    )
                    better = largest > best
                    best = tl.where(better, largest, best)
                    win = tl.where(better, (start + at_lane).to(tl.int64), win)
                tl.store(found + n * stages + m, win, wanted)
                if SEEN:
                    tl.store(seen + stage * count * D + cell, left, own)
            c = tl.load(codes + (stage * size + win)[:, None] * D + d[None, :], own, other=0.0)
            if EMBEDDED:
                tl.store(embedded + stage * count * D + cell, c, own)
            left -= c
