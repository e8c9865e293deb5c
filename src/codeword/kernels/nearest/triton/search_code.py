"""The first launch of a search: tensor-core products, and marks on the rows that they leave open.

Each program keeps a block of rows and goes through the codes of its group. Every one of its CODES lanes keeps the best
score of its own codes, the second best and where the best was; lanes are compared once, at the end: in the loop that
is five instructions a score, and no exchange between threads. Rows that come in chunks have many products to a score:
there lanes are compared at every tile, which leaves registers for larger tiles.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["in_order", "is_sure", "marked", "scan", "search", "search_chunked", "two_parts"]


@triton.jit
def two_parts(x, HALF: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The bfloat16 nearest to x, and the bfloat16 nearest to the remainder.

    WIDE is for the interpreter: it cuts bfloat16 off instead of rounding, and multiplies its bits as if they were
    whole numbers. There both parts are float32 numbers of eight bits (Veltkamp's splitting).
    """
    if WIDE:
        scaled = x * 65537.0
        high = scaled - (scaled - x)
        left = x - high
        scaled = left * 65537.0
        low = scaled - (scaled - left)
    else:
        high = x.to(HALF)
        low = (x - high.to(tl.float32)).to(HALF)
    return high, low


@triton.jit
def product(xh, xl, high, low, at, PRODUCTS: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Products of rows and codes, the small ones first, so that few sums are cut off at the size of the large ones."""
    ch = tl.load(high + at)
    if WIDE:
        ch = ch.to(tl.float32)
    if PRODUCTS == 3:
        cl = tl.load(low + at)
        if WIDE:
            cl = cl.to(tl.float32)
        score = tl.dot(xl, ch, input_precision="ieee")
        score = tl.dot(xh, cl, score, input_precision="ieee")
        score = tl.dot(xh, ch, score, input_precision="ieee")
    else:
        score = tl.dot(xh, ch, input_precision="ieee")
    return score


@triton.jit
def keep(score, start, best, second, win):  # type: ignore[no-untyped-def]
    """Update the best scores with one more tile, each lane by itself. Of equal scores the first is kept."""
    better = score > best
    second = tl.maximum(second, tl.minimum(best, score))
    best = tl.maximum(best, score)
    win = tl.where(better, start, win)
    return best, second, win


@triton.jit
def note(offset, norm, largest, slack):  # type: ignore[no-untyped-def]
    """What the bound needs to know: the largest |c|^2, and whether all offsets are at most -0.498 |c|^2."""
    return tl.maximum(largest, norm), tl.maximum(slack, offset + 0.498 * norm)


@triton.jit
def across(best, second, win, CODES: tl.constexpr):  # type: ignore[no-untyped-def]
    """The best score of each row over all lanes, the second best, and the lowest index that has the best."""
    top = tl.max(best, 1)
    code = win + tl.arange(0, CODES)[None, :]
    chosen = tl.min(tl.where(best == top[:, None], code, 2147483647), 1)
    rival = tl.max(tl.where(code == chosen[:, None], second, best), 1)
    return top, rival, tl.where(chosen == 2147483647, 0, chosen)


@triton.jit
def is_sure(top, rival, squares, largest, slack, ERROR: tl.constexpr, OFFSET: tl.constexpr):  # type: ignore[no-untyped-def]
    """Whether the products determine the nearest code of a row; the docstring of the package proves the bound."""
    reach = tl.max(largest, 0)
    if_near = tl.minimum(reach, 4.5 * (squares - top))
    reach = tl.where(tl.max(slack, 0) <= 0, if_near, reach)
    bound = ERROR * tl.sqrt(squares) * tl.sqrt(reach) + OFFSET * reach + 2.5e-7 * tl.abs(top) + 8e-34
    return top - rival > bound


@triton.jit
def scan(  # type: ignore[no-untyped-def]
    xh,
    xl,
    high,
    low,
    offsets,
    norms,
    padded,
    p,
    DIM: tl.constexpr,
    PRODUCTS: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Best score, second best and code of rows that are kept; and what the bound needs to know about the codes."""
    lane = tl.arange(0, CODES)
    best = tl.full((ROWS, CODES), float("-inf"), tl.float32)
    second = tl.full((ROWS, CODES), float("-inf"), tl.float32)
    win = tl.zeros((ROWS, CODES), tl.int32)
    largest = tl.zeros((CODES,), tl.float32)
    slack = tl.full((CODES,), float("-inf"), tl.float32)
    for start in tl.range(0, padded, CODES, num_stages=STAGES):
        code = (start + lane).to(tl.int64)
        score = product(xh, xl, high, low, code[None, :] * DIM + p[:, None], PRODUCTS, WIDE)
        offset = tl.load(offsets + code)
        largest, slack = note(offset, tl.load(norms + code), largest, slack)
        best, second, win = keep(score + offset[None, :], start, best, second, win)
    top, rival, chosen = across(best, second, win, CODES)
    return top, rival, chosen, largest, slack


@triton.jit
def in_order(wide, p, D: tl.constexpr, PACKED: tl.constexpr, HALF: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The two parts of rows as they are multiplied, and |x|^2. Packed, three products are one: [low, high, high]."""
    xh, xl = two_parts(wide, HALF, WIDE)
    if PACKED:
        xh = tl.where((p < D)[None, :], xl, xh)
        wide = tl.where((p < D)[None, :], wide, 0.0)
    return xh, xl, tl.sum(wide * wide, 1)


@triton.jit
def measured(  # type: ignore[no-untyped-def]
    rows,
    shift,
    n,
    count,
    D: tl.constexpr,
    DIM: tl.constexpr,
    RAW: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """|x|^2 of rows that come in chunks, and 0 where they are finite."""
    spoilt = tl.zeros((ROWS,), tl.float32)
    squares = tl.zeros((ROWS,), tl.float32)
    for first in range(0, DIM, CHUNK):
        d = first + tl.arange(0, CHUNK)
        x = tl.load(rows + n[:, None] * D + d[None, :], (n < count)[:, None] & (d < D)[None, :], other=0.0)
        wide = x.to(tl.float32)
        spoilt += tl.sum(wide - wide, 1)
        if not RAW:
            wide -= tl.load(shift + d, d < D, other=0.0)[None, :]
        squares += tl.sum(wide * wide, 1)
    return squares, spoilt


@triton.jit
def keep_best_lane(score, start, best, second, win, CODES: tl.constexpr):  # type: ignore[no-untyped-def]
    """Like `keep`, but keeps only the best of all lanes."""
    top, place = tl.max(score, 1, return_indices=True, return_indices_tie_break_left=True)
    others = tl.where(tl.arange(0, CODES)[None, :] == place[:, None], float("-inf"), score)
    second = tl.maximum(tl.maximum(second, tl.max(others, 1)), tl.minimum(best, top))
    win = tl.where(top > best, start + place, win)
    return tl.maximum(best, top), second, win


@triton.jit
def marked(chosen, doubtful):  # type: ignore[no-untyped-def]
    """The indices; -1 - index for rows that are to be searched again."""
    return tl.where(doubtful, -1 - chosen, chosen).to(tl.int64)


@triton.jit
def write(found, n, count, chosen, sure, spoilt):  # type: ignore[no-untyped-def]
    """The indices, with a mark on the uncertain ones."""
    finite = spoilt == 0
    tl.store(found + n, marked(tl.where(finite, chosen, 0), finite & (sure == 0)), n < count)


@triton.jit(do_not_specialize=["count", "padded", "stride"])
def search(  # type: ignore[no-untyped-def]
    rows,  # (groups, count, D)
    shift,  # (groups, D)
    high,  # groups of `stride` units, as all parts: (padded, DIM), the codes in bfloat16, or the halves that they are
    low,  # (padded, DIM): what is left of them
    norms,  # (padded,), |c|^2
    offsets,  # (groups, padded), -inf for codes that are added
    found,  # (groups, count): indices, and -1 - index for rows to look at again
    count,
    padded,
    stride,
    D: tl.constexpr,
    DIM: tl.constexpr,
    PRODUCTS: tl.constexpr,
    PACKED: tl.constexpr,
    RAW: tl.constexpr,
    ERROR: tl.constexpr,
    OFFSET: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    STAGES: tl.constexpr,
    UNIT: tl.constexpr,
):
    group = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    p = tl.arange(0, DIM)
    if PACKED:
        d = p % D
        inside = p < 3 * D
    else:
        d = p
        inside = p < D
    here = (n < count)[:, None] & inside[None, :]
    x = tl.load(rows + group * count * D + n[:, None] * D + d[None, :], here, other=0.0)
    if RAW:
        wide = x.to(tl.float32)
        spoilt = tl.sum(wide - wide, 1)  # 0, or NaN where x is not finite
        squares = tl.sum(wide * wide, 1)
        xh = wide if WIDE else x
        xl = xh
    else:
        spoilt = tl.sum(x - x, 1)
        x = x - tl.load(shift + group * D + d, inside, other=0.0)[None, :]
        xh, xl, squares = in_order(x, p, D, PACKED, high.dtype.element_ty, WIDE)
    own = group * stride * UNIT
    high += 2 * own
    low += 2 * own
    norms += own
    offsets += group * padded
    top, rival, chosen, largest, slack = scan(
        xh, xl, high, low, offsets, norms, padded, p, DIM, PRODUCTS, WIDE, ROWS, CODES, STAGES
    )
    sure = is_sure(top, rival, squares, largest, slack, ERROR, OFFSET)
    write(found + group * count, n, count, chosen, sure, spoilt)


@triton.jit(do_not_specialize=["count", "padded", "stride"])
def search_chunked(  # type: ignore[no-untyped-def]
    rows,
    shift,
    high,
    low,
    norms,
    offsets,
    found,
    count,
    padded,
    stride,
    D: tl.constexpr,
    DIM: tl.constexpr,
    PRODUCTS: tl.constexpr,
    RAW: tl.constexpr,
    ERROR: tl.constexpr,
    OFFSET: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    STAGES: tl.constexpr,
    CHUNK: tl.constexpr,
    UNIT: tl.constexpr,
):
    """Like `search`, for rows that do not fit into registers: rows and codes come in chunks of features.

    The sums of the chunks are added in float32, so no sum on the tensor cores is long.
    """
    group = tl.program_id(1).to(tl.int64)
    rows += group * count * D
    shift += group * D
    own = group * stride * UNIT
    high += 2 * own
    low += 2 * own
    norms += own
    offsets += group * padded
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    p = tl.arange(0, CHUNK)
    HALF: tl.constexpr = high.dtype.element_ty
    squares, spoilt = measured(rows, shift, n, count, D, DIM, RAW, ROWS, CHUNK)
    wanted = (n < count) & (spoilt == 0)
    lane = tl.arange(0, CODES)
    best = tl.full((ROWS,), float("-inf"), tl.float32)
    second = tl.full((ROWS,), float("-inf"), tl.float32)
    win = tl.zeros((ROWS,), tl.int32)
    largest = tl.zeros((CODES,), tl.float32)
    slack = tl.full((CODES,), float("-inf"), tl.float32)
    for start in range(0, padded, CODES):
        score = tl.zeros((ROWS, CODES), tl.float32)
        for first in tl.range(0, DIM, CHUNK, num_stages=STAGES):
            d = first + p
            x = tl.load(rows + n[:, None] * D + d[None, :], wanted[:, None] & (d < D)[None, :], other=0.0)
            if RAW:
                if WIDE:
                    x = x.to(tl.float32)
                xh, xl = x, x
            else:
                xh, xl = two_parts(x - tl.load(shift + d, d < D, other=0.0)[None, :], HALF, WIDE)
            at = (start + lane).to(tl.int64)[None, :] * DIM + d[:, None]
            score += product(xh, xl, high, low, at, PRODUCTS, WIDE)
        offset = tl.load(offsets + start + lane)
        largest, slack = note(offset, tl.load(norms + start + lane), largest, slack)
        best, second, win = keep_best_lane(score + offset[None, :], start, best, second, win, CODES)
    sure = is_sure(best, second, squares, largest, slack, ERROR, OFFSET)
    write(found + group * count, n, count, win, sure, spoilt)
