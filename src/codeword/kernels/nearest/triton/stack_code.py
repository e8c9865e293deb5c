"""All stages of a residual stack: what is left of a row stays in registers, the codes of each stage stream by."""

from __future__ import annotations

import triton
import triton.language as tl

from codeword.kernels.nearest.triton.search_code import append, in_order, is_sure, scan

__all__ = ["stack", "stack_again"]


@triton.jit(do_not_specialize=["count", "size", "padded", "stages"])
def stack(  # type: ignore[no-untyped-def]
    rows,  # (count, D)
    shift,  # (stages, D)
    codes,  # (stages, size, D), as they are
    high,  # (stages, padded, DIM)
    low,  # (stages, padded, DIM)
    offsets,  # (stages, padded)
    norms,  # (stages, padded)
    found,  # (count, stages)
    seen,  # (stages, count, D): what each stage searched for; written if SEEN
    embedded,  # (stages, count, D): the codes found; written if EMBEDDED
    todo,  # (stages, count): rows that are not sure at this stage, and were at all before it
    waiting,  # (stages,)
    count,
    size,
    padded,
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
    for m in range(stages):
        stage = tl.zeros((1,), tl.int64) + m
        if SEEN:
            tl.store(seen + stage[:, None] * count * D + cell, left, own)
        wide = left - tl.load(shift + stage * D + d, inside, other=0.0)[None, :]
        xh, xl, squares = in_order(wide, p, D, PACKED, high.dtype.element_ty, WIDE)
        first = stage * padded
        top, rival, chosen, largest, slack = scan(
            xh, xl, high, low, offsets, norms, first, padded, p, DIM, PRODUCTS, WIDE, ROWS, CODES, STAGES
        )
        chosen = tl.where(spoilt == 0, chosen, 0)
        sure = is_sure(top, rival, squares, largest, slack, ERROR, 0.0)
        tl.store(found + n * stages + m, chosen.to(tl.int64), n < count)
        append(todo + stage * count, waiting + m, n, open_rows & (sure == 0))
        open_rows = open_rows & sure
        picked = (stage * size + chosen)[:, None] * D + d[None, :]
        c = tl.load(codes + picked, (n < count)[:, None] & inside[None, :], other=0.0)
        if EMBEDDED:
            tl.store(embedded + stage[:, None] * count * D + cell, c, own)
        left -= c


@triton.jit(do_not_specialize=["count", "size", "stages"])
def stack_again(  # type: ignore[no-untyped-def]
    rows,
    shift,
    codes,
    centred,  # (stages, size, D)
    offsets,  # (stages, size)
    found,
    seen,
    embedded,
    todo,
    waiting,
    count,
    size,
    stages,
    D: tl.constexpr,
    DIM: tl.constexpr,
    SEEN: tl.constexpr,
    EMBEDDED: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
):
    """The rows that are first not sure at a stage: the stages before it as they are, all others in float32."""
    first = tl.program_id(1)
    total = tl.load(waiting + first)
    d = tl.arange(0, DIM)
    lane = tl.arange(0, CODES)
    for begin in range(tl.program_id(0) * ROWS, total, tl.num_programs(0) * ROWS):
        place = begin + tl.arange(0, ROWS)
        wanted = place < total
        n = tl.load(todo + first.to(tl.int64) * count + place, wanted, other=0).to(tl.int64)
        own = wanted[:, None] & (d < D)[None, :]
        cell = n[:, None] * D + d[None, :]
        left = tl.load(rows + cell, own, other=0.0)
        for m in range(stages):
            stage = tl.zeros((1,), tl.int64) + m
            if m < first:
                win = tl.load(found + n * stages + m, wanted, other=0)
            else:
                x = left - tl.load(shift + stage * D + d, d < D, other=0.0)[None, :]
                best = tl.full((ROWS,), float("-inf"), tl.float32)
                win = tl.zeros((ROWS,), tl.int64)
                for start in range(0, size, CODES):
                    code = start + lane
                    at = (stage * size + code)[None, :] * D + d[:, None]
                    c = tl.load(centred + at, (code < size)[None, :] & (d < D)[:, None], other=0.0)
                    score = tl.dot(x, c, input_precision="ieee")
                    score += tl.load(offsets + stage * size + code, code < size, other=float("-inf"))[None, :]
                    largest, at_lane = tl.max(
                        score, 1, return_indices=True, return_indices_tie_break_left=True
                    )
                    better = largest > best
                    best = tl.where(better, largest, best)
                    win = tl.where(better, (start + at_lane).to(tl.int64), win)
                tl.store(found + n * stages + m, win, wanted)
                if SEEN:
                    tl.store(seen + stage[:, None] * count * D + cell, left, own)
            c = tl.load(codes + (stage * size + win)[:, None] * D + d[None, :], own, other=0.0)
            if EMBEDDED:
                tl.store(embedded + stage[:, None] * count * D + cell, c, own)
            left -= c
