"""The step of a moving average as vector code: one pass over the codes that rows chose, and none over the others."""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from codeword.kernels.llvm.emit import F32, I64, Emitter, Value, declare
from codeword.kernels.moving_average import MIN_SIZE

__all__ = ["module"]


class _Arguments(NamedTuple):
    k: Value
    d: Value
    rate: Value  # float
    size: Value  # float (k,)
    counts: Value  # float (k,)
    after: Value  # float (k,), the new sizes
    sums: Value  # float (k, d)
    codes: Value  # float (k, d)


def module(lanes: int) -> ir.Module:
    """One function, `moving_average`, for any sizes; see `_Arguments`."""
    function = declare("moving_average", _Arguments._fields, {"k", "d"})
    _MovingAverage(Emitter(function, lanes), _Arguments(*function.args)).emit()
    return function.module


class _MovingAverage:
    def __init__(self, emitter: Emitter, arguments: _Arguments) -> None:
        self.e, self.a = emitter, arguments

    def emit(self) -> None:
        e, a = self.e, self.a
        rate = e.load(a.rate, ir.Constant(I64, 0), F32)
        e.loop(a.k, lambda code, _: self.step(code, rate))
        e.build.ret_void()

    def step(self, code: Value, rate: Value) -> list[Value]:
        e, build, a = self.e, self.e.build, self.a
        size, count = e.load(a.size, code, F32), e.load(a.counts, code, F32)
        size = e.fused(rate, build.fsub(count, size), size)
        least = ir.Constant(F32, MIN_SIZE)
        size = build.select(build.fcmp_ordered("<", size, least), least, size)
        e.store(size, a.after, code)
        chosen = build.fcmp_unordered("!=", count, ir.Constant(F32, 0.0))
        features = build.select(chosen, a.d, ir.Constant(I64, 0))
        share, lanes = build.fdiv(rate, size), ir.Constant(I64, e.lanes)

        def move(at: Value, kind: ir.Type, times: Value, part: Value) -> list[Value]:
            place = e.index((code, a.d), (at,))
            old, total = e.load(a.codes, place, kind), e.load(a.sums, place, kind)
            # Fused where torch fuses, so that both give the same bits.
            off = e.fused(build.fneg(times), old, total)
            e.store(e.fused(part, off, old), a.codes, place)
            return []

        whole = build.sdiv(features, lanes)
        wide = e.splat(count), e.splat(share)
        e.loop(whole, lambda number, _: move(e.index((number, e.lanes)), e.floats, *wide))
        rest = build.srem(features, lanes)
        e.loop(rest, lambda number, _: move(e.index((whole, e.lanes), (number,)), F32, count, share))
        return []
