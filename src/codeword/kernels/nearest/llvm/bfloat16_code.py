"""A search in two steps for processors with bfloat16 products: bfloat16 proposes, float32 decides.

Step one multiplies rows and codes rounded to bfloat16 into upper bounds of the scores, and keeps for each row the
largest bound of each bundle of codes: those in one lane of `depth` panels. Step two computes the float32 scores of
the bundle with the largest bound, then those of every bundle whose bound reaches the best score so far.

With b(.) for rounding to bfloat16 and u = 2^-24, a sum in bfloat16 products and one in float32 differ by at most

    |x - b(x)| |c| + |b(x)| |c - b(c)| + 4 D u (|x| |c| + |offset|).

The first two terms are one more pair of features: (|x - b(x)|, |b(x)|) against (|c|, |c - b(c)| + 4 D u |c|), all
rounded up, which the caller has put behind the codes; the last is in the caller's offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llvmlite import ir

from codeword.kernels.llvm.emit import F32, I32, I64, Emitter, Value, declare
from codeword.kernels.nearest.llvm.float32_code import Tile

__all__ = ["LEAST_LENGTH", "module"]

I1 = ir.IntType(1)
INFINITY = float("inf")
LEAST_LENGTH = 1e-18  # float32 cannot hold the squares of smaller ones, so that none is trusted to be smaller


class _BFloat(ir.Type):
    """The type that llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


class _Arguments(NamedTuple):
    rows: Value  # float (n, d)
    n: Value
    d: Value
    shift: Value  # float (d,)
    pairs: Value  # bfloat16 (panels, ceil(d / 2) + 1, vectors * lanes, 2)
    ceilings: Value  # float (panels * vectors * lanes,), offsets with their share of the bound
    offsets: Value  # float (panels * vectors * lanes,)
    codes: Value  # float (panels * vectors * lanes, stride)
    bundles: Value  # panels / depth
    depth: Value
    stride: Value  # d rounded up to whole vectors
    limit: Value  # with more lanes than these open, a row is left to another search
    found: Value  # int64 (n,), -1 where a row is left
    block: Value  # tiles of rows that are packed together
    packed: Value  # scratch: bfloat16 (block, ceil(d / 2) + 1, rows, 2)
    maxima: Value  # scratch: float (bundles, block * rows, lanes)
    spoilt: Value  # scratch: float (block * rows,), NaN for a row that is not finite
    row: Value  # scratch: float (stride,), zeros


def module(tile: Tile) -> ir.Module:
    """One function, `search`, for any N, K and D; see `_Arguments`."""
    numbers = {"n", "d", "bundles", "depth", "stride", "limit", "block"}
    function = declare("search", _Arguments._fields, numbers)
    _Search(Emitter(function, tile.lanes), tile, _Arguments(*function.args)).emit()
    return function.module


class _Search:
    def __init__(self, emitter: Emitter, tile: Tile, arguments: _Arguments) -> None:
        self.e, self.tile, self.a = emitter, tile, arguments
        build = emitter.build
        self.half = build.sdiv(build.add(arguments.d, ir.Constant(I64, 1)), ir.Constant(I64, 2))
        self.steps = build.add(self.half, ir.Constant(I64, 1))
        self.panels = build.mul(arguments.bundles, arguments.depth)

    def emit(self) -> None:
        e, build, a, rows = self.e, self.e.build, self.a, self.tile.rows
        size = build.mul(a.block, ir.Constant(I64, rows))
        blocks = build.sdiv(build.sub(build.add(a.n, size), ir.Constant(I64, 1)), size)

        def block(index: Value, _: list[Value]) -> Sequence[Value]:
            start = build.mul(index, size)
            left = build.sub(a.n, start)
            tiles = build.sdiv(build.add(left, ir.Constant(I64, rows - 1)), ir.Constant(I64, rows))
            tiles = build.select(build.icmp_signed("<", tiles, a.block), tiles, a.block)
            count = build.select(build.icmp_signed("<", left, size), left, size)
            e.loop(tiles, lambda t, _: self.pack(start, t))
            e.loop(self.panels, lambda p, _: e.loop(tiles, lambda t, _: self.propose(p, t)))
            e.loop(count, lambda r, _: self.decide(start, r))
            return ()

        e.loop(blocks, block)
        build.ret_void()

    def pack(self, start: Value, t: Value) -> Sequence[Value]:
        """Round a tile of rows to pairs of bfloat16; the last pair bounds what the rounding does."""
        e, build, a, rows = self.e, self.e.build, self.a, self.tile.rows
        last = build.sub(a.n, ir.Constant(I64, 1))
        zero = ir.Constant(F32, 0.0)
        for r in range(rows):
            row = e.index((start,), (t, rows), (r,))
            row = build.select(build.icmp_signed("<", row, last), row, last)

            def copy(pair: Value, carried: list[Value], row: Value = row, r: int = r) -> Sequence[Value]:
                low, low_error, low_kept = self.rounded(row, e.index((pair, 2)))
                high, high_error, high_kept = self.rounded(row, e.index((pair, 2), (1,)))
                both = build.or_(low, build.shl(high, ir.Constant(I32, 16)))
                e.store(both, a.packed, e.index((t, self.steps, rows), (pair, rows), (r,)), I32)
                errors = e.fused(low_error, low_error, e.fused(high_error, high_error, carried[0]))
                return errors, e.fused(low_kept, low_kept, e.fused(high_kept, high_kept, carried[1]))

            errors, kept = e.loop(self.half, copy, [zero, zero])
            both = build.or_(self.above(errors), build.shl(self.above(kept), ir.Constant(I32, 16)))
            e.store(both, a.packed, e.index((t, self.steps, rows), (self.half, rows), (r,)), I32)
            place = e.index((t, rows), (r,))
            e.store(errors, a.spoilt, place)  # inf - inf is NaN; for a finite row nothing is
            self.clear_maxima(place)
        return ()

    def clear_maxima(self, row: Value) -> None:
        low = self.e.splat(ir.Constant(F32, -INFINITY))

        def clear(b: Value, _: list[Value]) -> Sequence[Value]:
            self.e.store(low, self.a.maxima, self.maxima_at(b, row))
            return ()

        self.e.loop(self.a.bundles, clear)

    def rounded(self, row: Value, d: Value) -> tuple[Value, Value, Value]:
        """Feature d of a shifted row as bfloat16 bits, the rounding error, and the rounded number."""
        e, build, a = self.e, self.e.build, self.a
        inside = build.icmp_signed("<", d, a.d)
        safe = build.select(inside, d, ir.Constant(I64, 0))
        value = build.fsub(e.load(a.rows, e.index((row, a.d), (safe,)), F32), e.load(a.shift, safe, F32))
        value = build.select(inside, value, ir.Constant(F32, 0.0))
        bits = build.bitcast(value, I32)
        odd = build.and_(build.lshr(bits, ir.Constant(I32, 16)), ir.Constant(I32, 1))
        bits = build.add(bits, build.add(odd, ir.Constant(I32, 0x7FFF)))
        top = build.lshr(bits, ir.Constant(I32, 16))
        near = build.bitcast(build.shl(top, ir.Constant(I32, 16)), F32)
        return top, build.fsub(value, near), near

    def above(self, square: Value) -> Value:
        """The bits of a bfloat16 that is not below the root of a sum of squares."""
        build = self.e.build
        root = self.e.call("llvm.sqrt.f32", F32, square)
        root = self.e.fused(root, ir.Constant(F32, 1.001), ir.Constant(F32, LEAST_LENGTH))
        bits = build.add(build.bitcast(root, I32), ir.Constant(I32, 0xFFFF))
        return build.lshr(bits, ir.Constant(I32, 16))

    def propose(self, p: Value, t: Value) -> Sequence[Value]:
        """One panel of codes with one tile of rows in bfloat16; keep the largest bound of each lane."""
        e, build, a = self.e, self.e.build, self.a
        rows, vectors = self.tile.rows, self.tile.vectors
        width = vectors * e.lanes
        offsets = [e.load(a.ceilings, e.index((p, width), (v * e.lanes,)), e.floats) for v in range(vectors)]

        def product(pair: Value, sums: list[Value]) -> Sequence[Value]:
            at = e.index((p, self.steps, width), (pair, width))
            codes = [e.load(a.pairs, e.index((at,), (v * e.lanes,)), e.ints, I32) for v in range(vectors)]
            at = e.index((t, self.steps, rows), (pair, rows))
            values = [e.splat(e.load(a.packed, e.index((at,), (r,)), I32, I32)) for r in range(rows)]
            return [
                self.dot(sums[r * vectors + v], values[r], codes[v])
                for r in range(rows)
                for v in range(vectors)
            ]

        sums = e.loop(self.steps, product, offsets * rows)
        bundle = build.sdiv(p, a.depth)
        for r in range(rows):
            place = self.maxima_at(bundle, e.index((t, rows), (r,)))
            largest = e.load(a.maxima, place, e.floats)
            for v in range(vectors):
                largest = self.larger(sums[r * vectors + v], largest)
            e.store(largest, a.maxima, place)
        return ()

    def dot(self, total: Value, a: Value, b: Value) -> Value:
        halves = ir.VectorType(_BFloat(), 2 * self.e.lanes)
        a, b = self.e.build.bitcast(a, halves), self.e.build.bitcast(b, halves)
        return self.e.call("llvm.x86.avx512bf16.dpbf16ps.512", self.e.floats, total, a, b)

    def larger(self, a: Value, b: Value) -> Value:
        return self.e.build.select(self.e.build.fcmp_ordered(">", a, b), a, b)

    def decide(self, start: Value, r: Value) -> Sequence[Value]:
        """Score in float32 the bundle with the largest bound, then all that might hold a better code."""
        e, build, a = self.e, self.e.build, self.a
        self.copy_row(build.add(start, r))

        def maxima(b: Value) -> Value:
            return e.load(a.maxima, self.maxima_at(b, r), e.floats)

        def largest(b: Value, carried: list[Value]) -> Sequence[Value]:
            better = build.fcmp_ordered(">", maxima(b), carried[0])
            number = e.splat(build.trunc(b, I32))
            return build.select(better, maxima(b), carried[0]), build.select(better, number, carried[1])

        nothing = [e.splat(ir.Constant(F32, -INFINITY)), e.splat(ir.Constant(I32, 0))]
        bounds, numbers = e.loop(a.bundles, largest, nothing)
        top = e.call(f"llvm.vector.reduce.fmax.v{e.lanes}f32", F32, bounds)
        lane = self.first_lane(self.lanes_from(bounds, top))
        first = build.zext(build.extract_element(numbers, build.trunc(lane, I32)), I64)
        best: Sequence[Value] = [ir.Constant(F32, -INFINITY), ir.Constant(I64, 0)]
        best = self.score_bundle(first, lane, best)
        e.store(ir.Constant(F32, -INFINITY), a.maxima, e.index((self.maxima_at(first, r),), (lane,)))

        (open_lanes,) = e.loop(
            a.bundles,
            lambda b, count: [build.add(count[0], self.count(self.lanes_from(maxima(b), best[0])))],
            [ir.Constant(I64, 0)],
        )

        def others(b: Value, carried: list[Value]) -> Sequence[Value]:
            mask = self.lanes_from(maxima(b), carried[0])

            def one(_: Value, state: list[Value]) -> Sequence[Value]:
                rest = build.and_(state[0], build.sub(state[0], ir.Constant(I32, 1)))
                return [rest, *self.score_bundle(b, self.first_lane(state[0]), state[1:])]

            return e.loop(self.count(mask), one, [mask, *carried])[1:]

        finite = build.fcmp_ordered("ord", e.load(a.spoilt, r, F32), ir.Constant(F32, 0.0))
        few = build.icmp_signed("<=", open_lanes, a.limit)
        wanted = build.and_(finite, few)
        _, winner = e.loop(build.select(wanted, a.bundles, ir.Constant(I64, 0)), others, best)
        winner = build.select(few, winner, ir.Constant(I64, -1))
        winner = build.select(finite, winner, ir.Constant(I64, 0))
        e.store(winner, a.found, build.add(start, r), I64)
        return ()

    def maxima_at(self, b: Value, row: Value) -> Value:
        """Where the maxima of a bundle and a row of the block lie; a row of all would hit one cache set."""
        return self.e.index((b, self.a.block, self.tile.rows, self.e.lanes), (row, self.e.lanes))

    def lanes_from(self, bounds: Value, least: Value) -> Value:
        """A bit for each lane that is not below `least`."""
        build = self.e.build
        bits = build.fcmp_unordered(">=", bounds, self.e.splat(least))
        return build.zext(build.bitcast(bits, ir.IntType(self.e.lanes)), I32)

    def count(self, mask: Value) -> Value:
        return self.e.build.zext(self.e.call("llvm.ctpop.i32", I32, mask), I64)

    def first_lane(self, mask: Value) -> Value:
        """The lowest lane of a mask, within the vector even when the mask is empty."""
        build = self.e.build
        lane = self.e.call("llvm.cttz.i32", I32, mask, ir.Constant(I1, 0))
        return build.zext(build.and_(lane, ir.Constant(I32, self.e.lanes - 1)), I64)

    def score_bundle(self, b: Value, lane: Value, best: Sequence[Value]) -> Sequence[Value]:
        return self.e.loop(self.a.depth, lambda p, so_far: self.score(b, p, lane, so_far), best)

    def copy_row(self, row: Value) -> None:
        """The shifted row, followed by the zeros that fill its last vector."""
        e, build, a = self.e, self.e.build, self.a

        def copy(d: Value, _: list[Value]) -> Sequence[Value]:
            value = build.fsub(e.load(a.rows, e.index((row, a.d), (d,)), F32), e.load(a.shift, d, F32))
            e.store(value, a.row, d)
            return ()

        e.loop(a.d, copy)

    def score(self, b: Value, p: Value, lane: Value, best: list[Value]) -> Sequence[Value]:
        """The float32 scores of one lane of one panel against the best so far: larger, or equal and earlier."""
        e, build, a = self.e, self.e.build, self.a
        vectors = self.tile.vectors
        panel = e.index((b, a.depth), (p,))
        codes = [e.index((panel, vectors * e.lanes), (v * e.lanes,), (lane,)) for v in range(vectors)]
        steps = build.sdiv(a.stride, ir.Constant(I64, e.lanes))

        def product(d: Value, sums: list[Value]) -> Sequence[Value]:
            x = e.load(a.row, e.index((d, e.lanes)), e.floats)
            at = [e.index((code, a.stride), (d, e.lanes)) for code in codes]
            return [
                e.fused(x, e.load(a.codes, place, e.floats), total)
                for place, total in zip(at, sums, strict=True)
            ]

        sums = e.loop(steps, product, [e.splat(ir.Constant(F32, 0.0))] * vectors)
        largest, winner = best
        for code, total in zip(codes, sums, strict=True):
            lanes = build.call(
                e.declared(f"llvm.vector.reduce.fadd.v{e.lanes}f32", F32, F32, e.floats),
                [ir.Constant(F32, 0.0), total],
                fastmath=("reassoc",),
            )
            value = build.fadd(lanes, e.load(a.offsets, code, F32))
            equal = build.and_(build.fcmp_ordered("==", value, largest), build.icmp_signed("<", code, winner))
            better = build.or_(build.fcmp_ordered(">", value, largest), equal)
            largest, winner = build.select(better, value, largest), build.select(better, code, winner)
        return [largest, winner]
