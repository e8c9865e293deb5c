"""Small helpers over llvmlite's builder: types, loops that carry values, arrays of vectors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from llvmlite import ir

__all__ = ["F32", "I8", "I32", "I64", "POINTER", "Emitter", "Value", "declare"]

F32, I8, I32, I64 = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = ir.PointerType()
_CONTRACT = ("contract",)  # allows a product and a sum to be fused, and no other change

Value = Any  # llvmlite has no types for its values


def declare(name: str, arguments: Sequence[str], numbers: Collection[str]) -> ir.Function:
    """A function of a module of its own.

    Arguments named in `numbers` are int64; the others are pointers to separate memory.
    """
    kinds = [I64 if argument in numbers else POINTER for argument in arguments]
    function = ir.Function(ir.Module(name), ir.FunctionType(ir.VoidType(), kinds), name)
    for argument, kind in zip(function.args, kinds, strict=True):
        if kind == POINTER:
            argument.add_attribute("noalias")
    return function


class Emitter:
    """Writes one function. `lanes` is the number of float32 in a vector."""

    def __init__(self, function: ir.Function, lanes: int) -> None:
        self.function, self.lanes = function, lanes
        self.build = ir.IRBuilder(function.append_basic_block("entry"))
        self.floats, self.ints = ir.VectorType(F32, lanes), ir.VectorType(I32, lanes)

    def loop(
        self,
        stop: Value,
        body: Callable[[Value, list[Value]], Sequence[Value]],
        carried: Sequence[Value] = (),
    ) -> list[Value]:
        """for i in range(stop): carried = body(i, carried). Gives the carried values after the last pass."""
        build = self.build
        before = build.block
        head, inside, after = (self.function.append_basic_block(name) for name in ("head", "body", "after"))
        build.branch(head)
        build.position_at_end(head)
        index = build.phi(I64)
        index.add_incoming(ir.Constant(I64, 0), before)
        values = [build.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        build.cbranch(build.icmp_signed("<", index, stop), inside, after)
        build.position_at_end(inside)
        results = body(index, list(values))
        index.add_incoming(build.add(index, ir.Constant(I64, 1)), build.block)
        for phi, value in zip(values, results, strict=True):
            phi.add_incoming(value, build.block)
        build.branch(head)
        build.position_at_end(after)
        return list(values)

    def index(self, *terms: tuple[Value, ...]) -> Value:
        """The sum of products given as tuples: index((a, b), (c,)) is a b + c."""
        total = ir.Constant(I64, 0)
        for term in terms:
            product = ir.Constant(I64, 1)
            for factor in term:
                product = self.build.mul(
                    product, ir.Constant(I64, factor) if isinstance(factor, int) else factor
                )
            total = self.build.add(total, product)
        return total

    def load(self, base: Value, index: Value, kind: ir.Type, unit: ir.Type = F32) -> Value:
        """Read a `kind` at base[index], counted in `unit`s, whatever its alignment."""
        place = self.build.gep(base, [index], source_etype=unit)
        return self.build.load(place, typ=kind, align=1 if unit == I8 else 4)

    def store(self, value: Value, base: Value, index: Value, unit: ir.Type = F32) -> None:
        """Write `value` at base[index], counted in `unit`s."""
        self.build.store(value, self.build.gep(base, [index], source_etype=unit), align=4)

    def splat(self, value: Value) -> Value:
        """The scalar in every lane."""
        vector = ir.VectorType(value.type, self.lanes)
        first = self.build.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(I32, 0))
        mask = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.build.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)

    def fused(self, a: Value, b: Value, c: Value) -> Value:
        """a b + c, fused if the processor has such an instruction."""
        return self.build.fadd(self.build.fmul(a, b, flags=_CONTRACT), c, flags=_CONTRACT)

    def call(self, name: str, result: ir.Type, *arguments: Value) -> Value:
        """Call an LLVM intrinsic."""
        return self.build.call(
            self.declared(name, result, *(argument.type for argument in arguments)), arguments
        )

    def declared(self, name: str, result: ir.Type, *kinds: ir.Type) -> ir.Function:
        """The intrinsic of this name and these types."""
        module = self.function.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, kinds), name)
