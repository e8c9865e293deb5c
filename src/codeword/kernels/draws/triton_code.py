"""Stratified draws: a function of the key and the number of the draw."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["strata"]


@triton.jit(do_not_specialize=["salt", "count", "sets"])
def strata(state, total, positions, fresh, salt, count, sets, GOLDEN: tl.constexpr, DRAWS: tl.constexpr):  # type: ignore[no-untyped-def]
    number = tl.program_id(0).to(tl.int64) * DRAWS + tl.arange(0, DRAWS)
    whole = tl.load(total)
    stretches = tl.minimum(tl.maximum(whole, 1), count)
    i = number % count
    edge = i * whole // stretches
    width = (i + 1) * whole // stretches - edge
    fraction = (number * GOLDEN + ((tl.load(state) >> 30) ^ salt)) & 0xFFFFFFFF
    position = (edge + ((fraction * width) >> 32)) % tl.maximum(whole, 1)
    tl.store(positions + number, position, number < count * sets)
    tl.store(fresh + number, number < whole, number < count)
