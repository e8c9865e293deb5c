"""The fused search as vector code: scores stay in the registers, and only maxima are written, to the first-level cache.

Codes lie packed in panels of `vectors * lanes` codes, (panels, D, vectors * lanes), so that a panel is read
straight through; rows are packed in tiles of `rows`, (tiles, D, rows), shifted on the way. A tile and a panel
meet in rows x vectors accumulators. Each lane of a row remembers its best score and the number of the vector
of codes that it came from; one look across the lanes at the end finds the winner, the lowest index among
equals.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from codeword.kernels.llvm.emit import F32, I32, I64, Emitter, Value, declare

__all__ = ["Tile", "module"]


class Tile(NamedTuple):
    """How many float32 a vector holds, and how many rows and vectors of codes meet in registers."""

    lanes: int
    rows: int
    vectors: int


class _Arguments(NamedTuple):
    rows: Value  # float (n, d)
    n: Value
    d: Value
    shift: Value  # float (d,)
    codes: Value  # float (panels, d, vectors * lanes)
    offsets: Value  # float (panels, vectors * lanes)
    panels: Value
    found: Value  # int64 (n,)
    block: Value  # tiles of rows that are packed together
    packed: Value  # scratch: float (block, d, rows)
    best: Value  # scratch: float (block * rows, lanes)
    origin: Value  # scratch: int32 (block * rows, lanes)
    spoilt: Value  # scratch: float (block * rows,), NaN for a row that is not finite


def module(tile: Tile) -> ir.Module:
    """One function, `search`, for any N, K and D; see `_Arguments`."""
    function = declare("search", _Arguments._fields, {"n", "d", "panels", "block"})
    _Search(Emitter(function, tile.lanes), tile, _Arguments(*function.args)).emit()
    return function.module


class _Search:
    def __init__(self, emitter: Emitter, tile: Tile, arguments: _Arguments) -> None:
        self.e, self.tile, self.a = emitter, tile, arguments

    def emit(self) -> None:
        e, build, a = self.e, self.e.build, self.a
        one = ir.Constant(I64, 1)
        size = build.mul(a.block, ir.Constant(I64, self.tile.rows))
        blocks = build.sdiv(build.sub(build.add(a.n, size), one), size)

        def block(index: Value, _: list[Value]) -> list[Value]:
            start = build.mul(index, size)
            left = build.sub(a.n, start)
            tiles = build.sdiv(
                build.add(left, ir.Constant(I64, self.tile.rows - 1)), ir.Constant(I64, self.tile.rows)
            )
            tiles = build.select(build.icmp_signed("<", tiles, a.block), tiles, a.block)
            e.loop(tiles, lambda t, _: self.pack(start, t))
            e.loop(a.panels, lambda p, _: e.loop(tiles, lambda t, _: self.multiply(p, t)))
            count = build.select(build.icmp_signed("<", left, size), left, size)
            e.loop(count, lambda r, _: self.finish(start, r))
            return []

        e.loop(blocks, block)
        build.ret_void()

    def pack(self, start: Value, t: Value) -> list[Value]:
        """Copy a tile of rows, shifted and feature by feature; padding repeats the last row."""
        e, build, a, rows = self.e, self.e.build, self.a, self.tile.rows
        last = build.sub(a.n, ir.Constant(I64, 1))
        for r in range(rows):
            row = e.index((start,), (t, rows), (r,))
            row = build.select(build.icmp_signed("<", row, last), row, last)

            def copy(d: Value, carried: list[Value], row: Value = row, r: int = r) -> list[Value]:
                value = e.load(a.rows, e.index((row, a.d), (d,)), F32)
                shifted = build.fsub(value, e.load(a.shift, d, F32))
                e.store(shifted, a.packed, e.index((t, a.d, rows), (d, rows), (r,)))
                return [build.fadd(carried[0], build.fmul(value, ir.Constant(F32, 0.0)))]

            (spoilt,) = e.loop(a.d, copy, [ir.Constant(F32, 0.0)])
            place = e.index((t, rows), (r,))
            e.store(spoilt, a.spoilt, place)
            place = build.mul(place, ir.Constant(I64, e.lanes))
            e.store(e.splat(ir.Constant(F32, float("-inf"))), a.best, place)
            e.store(e.splat(ir.Constant(I32, 0)), a.origin, place)
        return []

    def multiply(self, p: Value, t: Value) -> list[Value]:
        """Score one panel of codes with one tile of rows, and update the best scores so far."""
        e, build, a = self.e, self.e.build, self.a
        rows, vectors = self.tile.rows, self.tile.vectors
        width = vectors * e.lanes
        offsets = [e.load(a.offsets, e.index((p, width), (v * e.lanes,)), e.floats) for v in range(vectors)]

        def product(d: Value, sums: list[Value]) -> list[Value]:
            at = e.index((p, a.d, width), (d, width))
            codes = [e.load(a.codes, e.index((at,), (v * e.lanes,)), e.floats) for v in range(vectors)]
            at = e.index((t, a.d, rows), (d, rows))
            values = [e.splat(e.load(a.packed, e.index((at,), (r,)), F32)) for r in range(rows)]
            return [
                e.fused(values[r], codes[v], sums[r * vectors + v])
                for r in range(rows)
                for v in range(vectors)
            ]

        sums = e.loop(a.d, product, offsets * rows)
        numbers = [e.splat(build.trunc(e.index((p, vectors), (v,)), I32)) for v in range(vectors)]
        for r in range(rows):
            place = e.index((t, rows * e.lanes), (r * e.lanes,))
            best, origin = e.load(a.best, place, e.floats), e.load(a.origin, place, e.ints)
            for v in range(vectors):
                score = sums[r * vectors + v]
                better = build.fcmp_ordered(">", score, best)
                best = build.select(better, score, best)
                origin = build.select(better, numbers[v], origin)
            e.store(best, a.best, place)
            e.store(origin, a.origin, place)
        return []

    def finish(self, start: Value, r: Value) -> list[Value]:
        """Choose among the lanes: the largest score, then the lowest index."""
        e, build, a = self.e, self.e.build, self.a
        place = build.mul(r, ir.Constant(I64, e.lanes))
        best, origin = e.load(a.best, place, e.floats), e.load(a.origin, place, e.ints)
        largest = e.call(f"llvm.vector.reduce.fmax.v{e.lanes}f32", F32, best)
        lane = ir.Constant(e.ints, list(range(e.lanes)))
        index = build.add(build.mul(origin, e.splat(ir.Constant(I32, e.lanes))), lane)
        winners = build.fcmp_ordered("==", best, e.splat(largest))
        index = build.select(winners, index, e.splat(ir.Constant(I32, 2**31 - 1)))
        lowest = build.zext(e.call(f"llvm.vector.reduce.smin.v{e.lanes}i32", I32, index), I64)
        spoilt = build.fcmp_unordered("uno", e.load(a.spoilt, r, F32), ir.Constant(F32, 0.0))
        e.store(build.select(spoilt, ir.Constant(I64, 0), lowest), a.found, build.add(start, r), I64)
        return []
