"""Codes centred and packed in one pass over them: what `kernels/nearest/prepare.py` says, as the search wants it."""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from codeword.kernels.llvm.emit import F32, I32, I64, Emitter, Value, declare
from codeword.kernels.nearest.llvm.float32_code import Tile

__all__ = ["TOGETHER", "module"]

TOGETHER = 4  # vectors of features that are sorted together, so that instructions do not wait for each other
LEAST = (
    1.7014117331926443e38  # the offset of a code that is not finite is minus this, half the lowest float32
)


class _Arguments(NamedTuple):
    codes: Value  # float (k, d)
    k: Value
    d: Value
    euclidean: Value  # 1 or 0
    stride: Value  # of the codes in the sample that the centre is found from
    samples: Value  # how many these are
    pairs: Value  # int64 (swaps, 2): a network that sorts `places` numbers
    swaps: Value
    places: Value
    panels: Value
    sorted: Value  # scratch: float (places, TOGETHER * lanes)
    packed: Value  # float (panels, d, vectors * lanes)
    offsets: Value  # float (panels, vectors * lanes)
    shift: Value  # float (d,)


def module(tile: Tile) -> ir.Module:
    """One function, `prepare`, for any K and D; see `_Arguments`."""
    numbers = {"k", "d", "euclidean", "stride", "samples", "swaps", "places", "panels"}
    function = declare("prepare", _Arguments._fields, numbers)
    _Prepare(Emitter(function, tile.lanes), tile, _Arguments(*function.args)).emit()
    return function.module


class _Prepare:
    def __init__(self, emitter: Emitter, tile: Tile, arguments: _Arguments) -> None:
        self.e, self.tile, self.a = emitter, tile, arguments

    def emit(self) -> None:
        e, build, a = self.e, self.e.build, self.a
        width = TOGETHER * e.lanes
        blocks = build.sdiv(build.add(a.d, ir.Constant(I64, width - 1)), ir.Constant(I64, width))
        e.loop(blocks, lambda block, _: self.centre(block))
        e.loop(a.panels, lambda panel, _: self.pack(panel))
        build.ret_void()

    def centre(self, block: Value) -> list[Value]:
        """The lower median of the sample, for as many features as `TOGETHER` vectors hold."""
        e, build, a = self.e, self.e.build, self.a
        width = TOGETHER * e.lanes
        features = [self.at_most(e.index((block, width), (number,)), a.d) for number in range(width)]
        infinite = e.splat(ir.Constant(F32, float("inf")))

        def fill(place: Value, _: list[Value]) -> list[Value]:
            code = build.mul(self.at_most(place, a.samples), a.stride)
            inside = build.icmp_signed("<", place, a.samples)
            for start in range(0, width, e.lanes):
                own = features[start : start + e.lanes]
                values = self.gathered([e.index((code, a.d), (feature,)) for feature in own])
                known = build.fcmp_ordered("ord", values, values)  # NaN is sorted behind all others
                values = build.select(inside, build.select(known, values, infinite), infinite)
                e.store(values, a.sorted, e.index((place, width), (start,)))
            return []

        def swap(number: Value, _: list[Value]) -> list[Value]:
            ends = [e.load(a.pairs, e.index((number, 2), (end,)), I64, I64) for end in (0, 1)]
            for start in range(0, width, e.lanes):
                at = [e.index((end, width), (start,)) for end in ends]
                first, second = (e.load(a.sorted, place, e.floats) for place in at)
                smaller = build.fcmp_ordered("<", first, second)
                e.store(build.select(smaller, first, second), a.sorted, at[0])
                e.store(build.select(smaller, second, first), a.sorted, at[1])
            return []

        e.loop(a.places, fill)
        e.loop(a.swaps, swap)
        half = build.sdiv(build.sub(a.samples, ir.Constant(I64, 1)), ir.Constant(I64, 2))
        for start in range(0, width, e.lanes):
            middle = self.finite(e.load(a.sorted, e.index((half, width), (start,)), e.floats))
            for lane in range(e.lanes):
                e.store(
                    build.extract_element(middle, ir.Constant(I32, lane)), a.shift, features[start + lane]
                )
        return []

    def pack(self, panel: Value) -> list[Value]:
        """A panel of centred codes, and their offsets; padding beyond the last code is never chosen."""
        e, build, a = self.e, self.e.build, self.a
        width = self.tile.vectors * e.lanes
        codes = [e.index((panel, width), (number,)) for number in range(width)]
        rows = [build.mul(self.at_most(code, a.k), a.d) for code in codes]

        def copy(d: Value, squares: list[Value]) -> list[Value]:
            shift, at = e.splat(e.load(a.shift, d, F32)), e.index((panel, a.d, width), (d, width))
            sums = []
            for vector in range(self.tile.vectors):
                own = rows[vector * e.lanes : (vector + 1) * e.lanes]
                centred = build.fsub(self.gathered([build.add(row, d) for row in own]), shift)
                e.store(self.finite(centred), a.packed, e.index((at,), (vector * e.lanes,)))
                sums.append(e.fused(centred, centred, squares[vector]))
            return sums

        squares = e.loop(a.d, copy, [e.splat(ir.Constant(F32, 0.0))] * self.tile.vectors)
        scale = e.splat(build.fmul(build.sitofp(a.euclidean, F32), ir.Constant(F32, -0.5)))
        for vector, square in enumerate(squares):
            offset = self.finite(build.fmul(square, scale), -LEAST)
            for lane in range(e.lanes):
                number = vector * e.lanes + lane
                value = build.extract_element(offset, ir.Constant(I32, lane))
                inside = build.icmp_signed("<", codes[number], a.k)
                value = build.select(inside, value, ir.Constant(F32, float("-inf")))
                e.store(value, a.offsets, codes[number])
        return []

    def gathered(self, places: list[Value]) -> Value:
        """A vector of the codes' entries at places."""
        e = self.e
        vector: Value = ir.Constant(e.floats, ir.Undefined)
        for lane, place in enumerate(places):
            entry = e.load(self.a.codes, place, F32)
            vector = e.build.insert_element(vector, entry, ir.Constant(I32, lane))
        return vector

    def finite(self, vector: Value, other: float = 0.0) -> Value:
        """The vector, with another number in place of entries that are not finite."""
        e, build = self.e, self.e.build
        keep = build.fcmp_ordered("ord", build.fsub(vector, vector), vector)
        return build.select(keep, vector, e.splat(ir.Constant(F32, other)))

    def at_most(self, number: Value, count: Value) -> Value:
        """The number, at most count - 1."""
        build = self.e.build
        last = build.sub(count, ir.Constant(I64, 1))
        return build.select(build.icmp_signed("<", number, last), number, last)
