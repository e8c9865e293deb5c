"""Segment sums without atomics: rows in the order of their segments, cut where a segment or a piece ends.

A piece is PIECE rows in that order. The head of a segment is its part before the first piece that begins inside it. For
each piece that begins inside a segment, one launch sums the rows of that segment in the piece; the other launch adds
these sums to the head. So no program reads more than PIECE rows, or one number for each piece, even if the segments
have very different sizes. The order of each sum depends only on the segments.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["sort_keys", "sum_pieces", "sum_segments"]


@triton.jit(do_not_specialize=["count", "size"])
def sort_keys(  # type: ignore[no-untyped-def]
    indices,  # (groups, count)
    weights,  # (groups, count), bool or float32; not read without MASKED
    keys,  # (groups, count): the segment among those of all groups; each has one more, for rows of weight 0
    count,
    size,
    MASKED: tl.constexpr,
    ROWS: tl.constexpr,
):
    group = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = group * count + n
    segment = tl.load(indices + at, n < count, other=0)
    if MASKED:
        segment = tl.where(tl.load(weights + at, n < count, other=0) != 0, segment, size)
    tl.store(keys + at, (group * (size + 1) + segment).to(keys.dtype.element_ty), n < count)


@triton.jit
def first_place(keys, total, key):  # type: ignore[no-untyped-def]
    """How many sorted keys are smaller."""
    low = tl.full((), 0, tl.int64)
    high = low + total
    while low < high:
        middle = (low + high) // 2
        smaller = tl.load(keys + middle) < key
        low = tl.where(smaller, middle + 1, low)
        high = tl.where(smaller, high, middle)
    return low


@triton.jit
def sum_of(rows, weights, order, begin, end, d, D: tl.constexpr, NUMBERS: tl.constexpr, ROWS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The sums of the features d, and of the weights, of the rows at places of the order, in float64."""
    total = tl.zeros((d.shape[0],), tl.float64)
    weight = tl.full((), 0, tl.float64)
    for start in range(begin, end, ROWS):
        place = start + tl.arange(0, ROWS)
        there = place < end
        n = tl.load(order + place, there, other=0)
        x = tl.load(rows + n[:, None] * D + d[None, :], there[:, None] & (d < D)[None, :], other=0.0)
        if NUMBERS:
            w = tl.load(weights + n, there, other=0.0)
            x *= w[:, None]
            weight += tl.sum(w, 0).to(tl.float64)
        total += tl.sum(x, 0).to(tl.float64)
    return total, weight


@triton.jit(do_not_specialize=["total"])
def sum_pieces(  # type: ignore[no-untyped-def]
    rows,  # (total, D)
    weights,  # (total,); not read without NUMBERS
    keys,  # (total,), sorted
    order,  # (total,): the row at each place
    parts,  # (pieces, D), float64
    heavy,  # (pieces,), float64: the sums of weights
    total,
    D: tl.constexpr,
    NUMBERS: tl.constexpr,
    PIECE: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    piece = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
    begin = piece * PIECE
    key = tl.load(keys + begin)
    before = tl.load(keys + begin - 1, begin > 0, other=-1)
    if key == before:  # otherwise the segment begins here, and these rows are its head
        end = tl.minimum(first_place(keys, total, key + 1), begin + PIECE)
        summed, weight = sum_of(rows, weights, order, begin, end, d, D, NUMBERS, ROWS)
        tl.store(parts + piece * D + d, summed, d < D)
        tl.store(heavy + piece, weight, tl.program_id(1) == 0)


@triton.jit(do_not_specialize=["total", "size"])
def sum_segments(  # type: ignore[no-untyped-def]
    rows,
    weights,
    keys,
    order,
    parts,
    heavy,
    counts,  # (groups, size): int64, or float64 with NUMBERS
    sums,  # (groups, size, D), float64 or float32
    total,
    size,
    D: tl.constexpr,
    NUMBERS: tl.constexpr,
    PIECE: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    segment, group = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    d = tl.program_id(2) * CHUNK + tl.arange(0, CHUNK)
    key = group * (size + 1) + segment
    begin = first_place(keys, total, key)
    end = first_place(keys, total, key + 1)
    first = (begin + PIECE - 1) // PIECE  # the first piece that begins at the segment, or inside it
    first += tl.where(first * PIECE == begin, 1, 0)
    head = tl.minimum(end, first * PIECE)
    summed, weight = sum_of(rows, weights, order, begin, head, d, D, NUMBERS, ROWS)
    last = (end + PIECE - 1) // PIECE
    for start in range(first, last, ROWS):
        piece = start + tl.arange(0, ROWS)
        there = piece < last
        part = tl.load(parts + piece[:, None] * D + d[None, :], there[:, None] & (d < D)[None, :], other=0.0)
        summed += tl.sum(part, 0)
        if NUMBERS:
            weight += tl.sum(tl.load(heavy + piece, there, other=0.0), 0)
    at = group * size + segment
    tl.store(sums + at * D + d, summed, d < D)
    if NUMBERS:
        tl.store(counts + at, weight, tl.program_id(2) == 0)
    else:
        tl.store(counts + at, end - begin, tl.program_id(2) == 0)
