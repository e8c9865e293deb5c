"""The centre of codes; the formula is in `kernels/nearest/prepare.py`."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["centre"]


@triton.jit(do_not_specialize=["size", "step", "sampled"])
def centre(  # type: ignore[no-untyped-def]
    codes,  # (groups, size, D)
    middle,  # (groups, D)
    shift,  # (groups, D)
    size,
    step,  # from one code of the sample to the next
    sampled,  # how many there are
    D: tl.constexpr,
    EUCLIDEAN: tl.constexpr,
    SAMPLE: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The lower median of each feature: the entry of the sample with half of the others before it in order."""
    group = tl.program_id(1).to(tl.int64)
    d = tl.program_id(0) * CHUNK + tl.arange(0, CHUNK)
    i = tl.arange(0, SAMPLE)
    codes += group * size * D
    at = (i * step).to(tl.int64)[:, None] * D + d[None, :]
    value = tl.load(codes + at, (i < sampled)[:, None] & (d < D)[None, :], other=float("inf"))
    value = tl.where(value == value, value, float("inf"))  # NaN comes last
    rank = tl.zeros((SAMPLE, CHUNK), tl.int32)
    for j in range(sampled):
        other = tl.load(codes + (tl.zeros((CHUNK,), tl.int64) + j * step) * D + d, d < D, other=0.0)
        other = tl.where(other == other, other, float("inf"))[None, :]
        before = (other < value) | ((other == value) & (j < i)[:, None])
        rank += before.to(tl.int32)
    chosen = tl.max(tl.where(rank == (sampled - 1) // 2, value, float("-inf")), 0)
    chosen = tl.where(chosen - chosen == 0, chosen, 0.0)
    tl.store(middle + group * D + d, chosen, d < D)
    tl.store(shift + group * D + d, chosen if EUCLIDEAN else tl.zeros((CHUNK,), tl.float32), d < D)
