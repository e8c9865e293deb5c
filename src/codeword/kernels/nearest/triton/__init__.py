r"""The search on CUDA: tensor-core products with a proven bound, and float32 for the rows that the bound leaves open.

The score of a row x (less its shift) and a code c is s*(c) = x . c + o(c), an exact number, since x, c and o are
float32 numbers, or halves, that are given. It is computed as s(c), from tensor-core products. A row is *sure* when
its best score is so far above its second best that the best code must have the largest s*. The others are marked, as -1
- index, and a second launch searches them in float32: each of its programs checks a range of rows for marks. In a stack
a row is marked at the first stage at which it is not sure, and searched again from there on, because all later stages
depend on it. There are no atomic counters, and no buffer must be cleared first.

**The products.** Let h be the bfloat16 number nearest to x, and l the one nearest to x - h, entry by entry; bfloat16
has 8 bits. For 2^e <= |x| < 2^(e+1), |x - h| <= 2^(e-8). That difference is a float32 number; where it is not exactly
2^(e-8), and so a bfloat16 number, it is below 2^(e-8) and |x - h - l| <= 2^(e-17). So |l| <= 2^-8 (1 + 2^-8) |x| and
the rest is at most 2^-17 |x|. For both x and c, l l' and twice a rest are dropped: at most 2^-15 (1 + 1 / 100) |x_i|
|c_i| for a feature i. The sum over features of |x_i| |c_i| is at most |x| |c| (Cauchy and Schwarz). Halves are
multiplied as they are: nothing is dropped. Products of two numbers of 8 (or 11) bits are exact in float32.

**Their sums.** A tensor core aligns b products and what is there already to the largest of them and cuts off, or
rounds, below 2^-23 of it (Fasi et al. 2021, Numerical behavior of NVIDIA tensor cores, for V100, T4 and A100, b = 4
and 8; the H100 keeps more bits; FFMA in order is within it). That is b + 1 errors of at most 2^-23 M for b products,
with M the largest number that occurs, so 1.25 n 2^-23 M for n products in a row and b >= 4. |h| |h'| adds up to at
most (1 + 2^-8)^2 |x| |c|. The products with l are summed before those with h, when nothing in the sum is larger than
2^-7 (1 + 2^-7) |x| |c|, so both of them add 2^-6. With three products one after another
M n <= 1.03 D |x| |c|, and the error of the sums is at most 1.29 D 2^-23 |x| |c|. Packed into one product, n is its
width. In chunks each sum is of CHUNK features, for which it holds with their parts of x and c, whose products of
lengths add up to at most |x| |c|; the sums of chunks are rounded to 24 bits in each of D / CHUNK additions.
All this together is `Mode.error` e: |(s(c) - o(c)) - x . c| <= e |x| |c|. Rounding s itself costs 2^-24 |s(c)|.

**The rivals.** Let w have the best score, and C be at least |c| for w and all codes c with s*(c) >= s*(w). For such c
s*(c) <= s(c) + e |x| C + 2^-24 |s(c)|, which grows with s(c) <= second best. So no other code has a larger s*, nor the
same, if

    best - second > 2 e |x| C + 2^-22 |best|,

where 2^-22 |best| covers 2^-24 (|best| + |second|), as |second| <= |best| + (best - second), and the rounding of the
difference.

**Their lengths.** C^2 is the largest |c|^2, or less. If all codes have o(c) <= -a |c|^2 / 2 with a = 0.996, as those
of the Euclidean metric have (o is rounded; the kernel looks, and uses 0.498 |c|^2), then s*(w) <= s*(c) <= |x| |c| - a
|c|^2 / 2. Solved for |c|: |c| <= (|x| + sqrt(|x|^2 - 2 a s*(w))) / a, so |c|^2 <= B^2 = 4 (|x|^2 - a s*(w)) / a^2, for
c = w too. As s*(w) <= |x|^2 / (2 a), the bracket is at least |x|^2 / 2, and |x| <= 0.71 B. Then s(w) is within e B^2 of
s*(w), and e < 2^-7 up to LONGEST features; so B^2 <= 4 (1 + 1 / 12) (|x|^2 - s(w)) < 4.5 (|x|^2 - s(w)). This is what
keeps one code far away from making all rows unsure.

**The rest.** |x|^2 and |c|^2 are computed in float32, within 2^-10. For that, and for square roots that are not exact,
the factor of e is 2.02 and not 2. What underflows in products, below 2^-126 each, is below 8e-34 in total unless C is
above 2^-40, and then below the other terms, for numbers within the reach of float32 (`reach.py`). Halves have offsets
computed in float64 from the numbers as they are, rounded once: 2^-25 C^2 each, so 2^-24 C^2 is added to the bound.
A bound or a score that is not a number decides nothing.

With TRITON_INTERPRET=1 set before triton is imported, the same code runs on the CPU in NumPy.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared
from codeword.kernels.nearest.triton.again_code import search_again
from codeword.kernels.nearest.triton.modes import CHUNK, LONGEST, Mode, mode_of
from codeword.kernels.nearest.triton.parts import UNIT, Parts, pack_halves, packed_of, parts_of
from codeword.kernels.nearest.triton.prepared import prepare
from codeword.kernels.nearest.triton.search_code import search as search_kept
from codeword.kernels.nearest.triton.search_code import search_chunked
from codeword.kernels.nearest.triton.tiles import AGAIN, Tile, share_of, tile_for
from codeword.kernels.triton.host import interpreted, launch

__all__ = ["LONGEST", "search", "search_halves"]


def search(rows: Tensor, prepared: Prepared, k: int = 1, *, tile: Tile | None = None) -> Tensor:
    """Indices (G, N) of the codes with the largest scores, ties to the lowest index."""
    assert k == 1
    rows, mode = rows.contiguous(), mode_of(rows.shape[2], raw=False)
    prepared = _whole(packed_of(prepared))
    parts = parts_of(prepared.codes, rows.shape[2], mode)
    return _search(rows, parts, prepared.offsets, prepared, mode, tile or tile_for(mode, rows))


def search_halves(rows: Tensor, codes: Tensor, metric: str, *, tile: Tile | None = None) -> Tensor:
    """The same for rows and codes that are halves: exact for the numbers that they are.

    They are multiplied as they are, not centred, with offsets of their own; the second launch has centred ones.
    """
    rows, mode = rows.contiguous(), mode_of(rows.shape[2], raw=True)
    tile = tile or tile_for(mode, rows)
    packed, offsets = pack_halves(codes.contiguous(), mode, tile.codes, euclidean=metric == "euclidean")
    parts = parts_of(packed, rows.shape[2], mode, codes.dtype)
    return _search(rows, parts, offsets, packed_of(prepare(codes.float(), metric)), mode, tile)


def _search(
    rows: Tensor, parts: Parts, offsets: Tensor, prepared: Prepared, mode: Mode, tile: Tile
) -> Tensor:
    """With the parts and their offsets for the first launch, and prepared codes, which are packed, for the second."""
    groups, count, features = rows.shape
    found = torch.empty((groups, count), dtype=torch.int64, device=rows.device)
    if not found.numel():
        return found
    launch(
        search_chunked if mode.chunked else search_kept,
        (triton.cdiv(count, tile.rows), groups),
        rows,
        prepared.shift,
        *parts[1:4],
        offsets,
        found,
        count,
        offsets.shape[1],
        parts.stride,
        D=features,
        DIM=mode.width,
        PRODUCTS=mode.products,
        RAW=mode.raw,
        ERROR=2.02 * mode.error,
        OFFSET=2.0**-24 if mode.raw else 0.0,
        WIDE=interpreted(),
        ROWS=tile.rows,
        CODES=tile.codes,
        STAGES=tile.stages,
        UNIT=UNIT,
        num_warps=tile.warps,
        num_stages=tile.stages,
        **({"CHUNK": CHUNK} if mode.chunked else {"PACKED": mode.packed}),
    )
    share = share_of(rows, groups)
    launch(
        search_again,
        (triton.cdiv(count, share), groups),
        rows,
        prepared.shift,
        prepared.codes,
        prepared.offsets,
        found,
        torch.empty((groups, count), dtype=torch.int32, device=rows.device),
        count,
        prepared.offsets.shape[1],
        prepared.codes.shape[1] // UNIT,
        share,
        D=features,
        ROWS=AGAIN.rows,
        CODES=AGAIN.codes,
        CHUNK=AGAIN.chunk,
        LOOK=AGAIN.look,
        UNIT=UNIT,
        num_warps=AGAIN.warps,
        num_stages=AGAIN.stages,
    )
    return found


def _whole(prepared: Prepared) -> Prepared:
    return Prepared(*(part.contiguous() for part in prepared))
