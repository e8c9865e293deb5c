"""Segment sums as vector code: rows are ordered by segment, so each sum stays in registers until it is complete."""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from codeword.kernels.llvm.emit import F32, I8, I64, Emitter, Value, declare

__all__ = ["module"]


class _Arguments(NamedTuple):
    rows: Value  # float (n, d)
    indices: Value  # int64 (n,)
    kept: Value  # int8 (n,), 0 where a row is left out
    n: Value
    d: Value
    size: Value
    ends: Value  # scratch: int64 (size + 1,); the last segment is of the rows that are left out
    order: Value  # scratch: int64 (n,)
    counts: Value  # int64 (size + 1,), zeros
    sums: Value  # float (size, d)


def module(lanes: int) -> ir.Module:
    """One function, `segment_sum`, for any sizes; see `_Arguments`."""
    function = declare("segment_sum", _Arguments._fields, {"n", "d", "size"})
    _SegmentSum(Emitter(function, lanes), _Arguments(*function.args)).emit()
    return function.module


class _SegmentSum:
    def __init__(self, emitter: Emitter, arguments: _Arguments) -> None:
        self.e, self.a = emitter, arguments

    def emit(self) -> None:
        e, build, a = self.e, self.e.build, self.a
        e.loop(a.n, self.count)
        e.loop(build.add(a.size, ir.Constant(I64, 1)), self.place, [ir.Constant(I64, 0)])
        e.loop(a.n, self.order)
        e.loop(a.size, lambda segment, _: self.add_up(segment))
        build.ret_void()

    def segment_of(self, row: Value) -> Value:
        e, build, a = self.e, self.e.build, self.a
        kept = build.icmp_signed("!=", e.load(a.kept, row, I8, I8), ir.Constant(I8, 0))
        return build.select(kept, e.load(a.indices, row, I64, I64), a.size)

    def count(self, row: Value, _: list[Value]) -> list[Value]:
        self.increase(self.a.counts, self.segment_of(row))
        return []

    def place(self, segment: Value, before: list[Value]) -> list[Value]:
        """Where the rows of each segment begin; `order` advances each entry to where they end."""
        e, a = self.e, self.a
        e.store(before[0], a.ends, segment, I64)
        return [e.build.add(before[0], e.load(a.counts, segment, I64, I64))]

    def order(self, row: Value, _: list[Value]) -> list[Value]:
        self.e.store(row, self.a.order, self.increase(self.a.ends, self.segment_of(row)), I64)
        return []

    def add_up(self, segment: Value) -> list[Value]:
        e, build, a = self.e, self.e.build, self.a
        count = e.load(a.counts, segment, I64, I64)
        begin = build.sub(e.load(a.ends, segment, I64, I64), count)
        whole = build.sdiv(a.d, ir.Constant(I64, e.lanes))

        def column(start: Value, kind: ir.Type, wide: ir.Type) -> list[Value]:
            def add(number: Value, total: list[Value]) -> list[Value]:
                row = e.load(a.order, build.add(begin, number), I64, I64)
                value = e.load(a.rows, e.index((row, a.d), (start,)), kind)
                return [build.fadd(total[0], build.fpext(value, wide))]

            (total,) = e.loop(count, add, [ir.Constant(wide, None)])
            e.store(build.fptrunc(total, kind), a.sums, e.index((segment, a.d), (start,)))
            return []

        def vectors(number: Value, _: list[Value]) -> list[Value]:
            return column(e.index((number, e.lanes)), e.floats, ir.VectorType(ir.DoubleType(), e.lanes))

        def rest(number: Value, _: list[Value]) -> list[Value]:
            return column(e.index((whole, e.lanes), (number,)), F32, ir.DoubleType())

        e.loop(whole, vectors)
        e.loop(build.srem(a.d, ir.Constant(I64, e.lanes)), rest)
        return []

    def increase(self, numbers: Value, place: Value) -> Value:
        """Add 1 to the number at a position, and return its old value."""
        number = self.e.load(numbers, place, I64, I64)
        self.e.store(self.e.build.add(number, ir.Constant(I64, 1)), numbers, place, I64)
        return number
