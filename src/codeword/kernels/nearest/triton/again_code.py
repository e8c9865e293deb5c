"""The second launch of a search: the rows that tensor cores do not decide, in float32."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["nearest_of", "search_again"]


@triton.jit
def nearest_of(  # type: ignore[no-untyped-def]
    rows,
    shift,
    codes,
    offsets,
    n,
    wanted,
    size,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The index of the largest score of each row n, in float32, the lowest among equals."""
    lane = tl.arange(0, CODES)
    best = tl.full((ROWS,), float("-inf"), tl.float32)
    win = tl.zeros((ROWS,), tl.int32)
    for start in range(0, size, CODES):
        code = start + lane
        score = tl.zeros((ROWS, CODES), tl.float32)
        for first in range(0, D, CHUNK):
            d = first + tl.arange(0, CHUNK)
            x = tl.load(rows + n[:, None] * D + d[None, :], wanted[:, None] & (d < D)[None, :], other=0.0)
            x = x.to(tl.float32) - tl.load(shift + d, d < D, other=0.0)[None, :]
            at = code.to(tl.int64)[None, :] * D + d[:, None]
            c = tl.load(codes + at, (code < size)[None, :] & (d < D)[:, None], other=0.0)
            score = tl.dot(x, c, score, input_precision="ieee")
        score += tl.load(offsets + code, code < size, other=float("-inf"))[None, :]
        largest, place = tl.max(score, 1, return_indices=True, return_indices_tie_break_left=True)
        better = largest > best
        best = tl.where(better, largest, best)
        win = tl.where(better, start + place, win)
    return win


@triton.jit(do_not_specialize=["count", "size"])
def search_again(  # type: ignore[no-untyped-def]
    rows,  # (groups, count, D)
    shift,  # (groups, D)
    codes,  # (groups, size, D), centred
    offsets,  # (groups, size)
    found,  # (groups, count)
    todo,  # (groups, count)
    waiting,  # (groups,)
    count,
    size,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    group = tl.program_id(1).to(tl.int64)
    total = tl.load(waiting + group)
    for begin in range(tl.program_id(0) * ROWS, total, tl.num_programs(0) * ROWS):
        place = begin + tl.arange(0, ROWS)
        wanted = place < total
        n = tl.load(todo + group * count + place, wanted, other=0).to(tl.int64)
        win = nearest_of(
            rows + group * count * D,
            shift + group * D,
            codes + group * size * D,
            offsets + group * size,
            n,
            wanted,
            size,
            D,
            ROWS,
            CODES,
            CHUNK,
        )
        tl.store(found + group * count + n, win.to(tl.int64), wanted)
