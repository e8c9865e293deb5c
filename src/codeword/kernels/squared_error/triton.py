"""A mean of squared differences in two launches, without atomics: equal results at each call."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from codeword.kernels.triton.host import launch, multiprocessors

__all__ = ["CHUNK", "PROGRAMS", "ROWS", "mean_of_parts", "squared_error", "sums_of_parts"]

ROWS, CHUNK = 32, 64  # at once
PROGRAMS = 1024  # at most, which one program adds up


@triton.jit(do_not_specialize=["count", "groups"])
def sums_of_parts(  # type: ignore[no-untyped-def]
    rows,  # (groups, count, D)
    targets,  # (groups, count, D)
    mask,  # (count,)
    sums,  # (programs,) float64
    counts,  # (programs,) int64
    count,
    groups,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    error = tl.zeros((ROWS,), tl.float64)
    number = tl.zeros((ROWS,), tl.int32)
    for begin in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        n = begin + tl.arange(0, ROWS)
        wanted = tl.load(mask + n, n < count, other=0) != 0
        number += wanted.to(tl.int32)
        for group in range(groups):
            at = (tl.zeros((ROWS,), tl.int64) + group) * count + n
            own = tl.zeros((ROWS,), tl.float32)
            for first in range(0, D, CHUNK):
                d = first + tl.arange(0, CHUNK)
                here = wanted[:, None] & (d < D)[None, :]
                x = tl.load(rows + at[:, None] * D + d[None, :], here, other=0.0)
                x -= tl.load(targets + at[:, None] * D + d[None, :], here, other=0.0)
                own += tl.sum(x * x, 1)
            error += own.to(tl.float64)
    tl.store(sums + tl.program_id(0), tl.sum(error, 0))
    tl.store(counts + tl.program_id(0), tl.sum(number, 0).to(tl.int64))


@triton.jit(do_not_specialize=["programs", "each"])
def mean_of_parts(  # type: ignore[no-untyped-def]
    sums,
    counts,
    mean,
    programs,
    each,  # numbers that a row stands for
    PROGRAMS: tl.constexpr,
):
    p = tl.arange(0, PROGRAMS)
    total = tl.sum(tl.load(sums + p, p < programs, other=0.0), 0)
    number = tl.maximum(tl.sum(tl.load(counts + p, p < programs, other=0), 0) * each, 1)
    tl.store(mean, (total / number.to(tl.float64)).to(tl.float32))


def squared_error(rows: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The mean over groups, features and the rows (G, N, D) in the mask (N,)."""
    rows, targets, mask = rows.contiguous(), targets.contiguous(), mask.contiguous()
    groups, count, features = rows.shape
    mean = rows.new_empty(())
    programs = max(1, min(PROGRAMS, 4 * multiprocessors(rows), triton.cdiv(count, ROWS)))
    sums = rows.new_empty(programs, dtype=torch.float64)
    counts = rows.new_empty(programs, dtype=torch.int64)
    sizes = {"D": features, "ROWS": ROWS, "CHUNK": min(CHUNK, triton.next_power_of_2(max(features, 1)))}
    launch(sums_of_parts, (programs,), rows, targets, mask, sums, counts, count, groups, **sizes)
    launch(mean_of_parts, (1,), sums, counts, mean, programs, groups * features, PROGRAMS=PROGRAMS)
    return mean
