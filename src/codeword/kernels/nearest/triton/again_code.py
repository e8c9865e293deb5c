"""The second launch of a search: the rows that the tensor cores leave open, in float32."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["marked_rows", "search_again"]


@triton.jit
def nearest_of(  # type: ignore[no-untyped-def]
    rows,
    shift,
    codes,
    offsets,
    n,
    wanted,
    padded,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The index of the largest score of each row n, in float32, the lowest among equals."""
    lane = tl.arange(0, CODES)
    best = tl.full((ROWS,), float("-inf"), tl.float32)
    win = tl.zeros((ROWS,), tl.int32)
    for start in range(0, padded, CODES):
        code = start + lane
        score = tl.zeros((ROWS, CODES), tl.float32)
        for first in range(0, D, CHUNK):
            d = first + tl.arange(0, CHUNK)
            x = tl.load(rows + n[:, None] * D + d[None, :], wanted[:, None] & (d < D)[None, :], other=0.0)
            x = x.to(tl.float32) - tl.load(shift + d, d < D, other=0.0)[None, :]
            at = code.to(tl.int64)[None, :] * D + d[:, None]
            c = tl.load(codes + at, (d < D)[:, None], other=0.0)
            score = tl.dot(x, c, score, input_precision="ieee")
        score += tl.load(offsets + code)[None, :]
        largest, place = tl.max(score, 1, return_indices=True, return_indices_tie_break_left=True)
        better = largest > best
        best = tl.where(better, largest, best)
        win = tl.where(better, start + place, win)
    return win


@triton.jit
def marked_rows(found, todo, begin, end, STEP, LOOK: tl.constexpr):  # type: ignore[no-untyped-def]
    """List the rows from `begin` to `end` whose index is marked, and count them; indices are STEP apart."""
    total = 0
    for at in range(begin, end, LOOK):
        n = at + tl.arange(0, LOOK)
        wanted = (tl.load(found + n.to(tl.int64) * STEP, n < end, other=0) < 0).to(tl.int32)
        tl.store(todo + begin + total + tl.cumsum(wanted, 0) - 1, n, wanted == 1)
        total += tl.sum(wanted, 0)
    tl.debug_barrier()  # what other threads have listed is there
    return total


@triton.jit(do_not_specialize=["count", "padded", "stride", "share"])
def search_again(  # type: ignore[no-untyped-def]
    rows,  # (groups, count, D)
    shift,  # (groups, D)
    codes,  # groups of `stride` units: (padded, D), centred
    offsets,  # (groups, padded)
    found,  # (groups, count)
    todo,  # (groups, count), scratch
    count,
    padded,
    stride,
    share,  # rows that a program looks through
    D: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    CHUNK: tl.constexpr,
    LOOK: tl.constexpr,
    UNIT: tl.constexpr,
):
    group = tl.program_id(1).to(tl.int64)
    found += group * count
    todo += group * count
    first = tl.program_id(0) * share
    total = marked_rows(found, todo, first, tl.minimum(first + share, count), 1, LOOK)
    for begin in range(0, total, ROWS):
        place = begin + tl.arange(0, ROWS)
        wanted = place < total
        n = tl.load(todo + first + place, wanted, other=0).to(tl.int64)
        win = nearest_of(
            rows + group * count * D,
            shift + group * D,
            codes + group * stride * UNIT,
            offsets + group * padded,
            n,
            wanted,
            padded,
            D,
            ROWS,
            CODES,
            CHUNK,
        )
        tl.store(found + n, win.to(tl.int64), wanted)
