"""What a Triton kernel becomes on a chip that is not here: registers, spills, shared memory, instructions.

Triton compiles for any target without a driver, and its wheel brings cuobjdump.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
import triton.backends.nvidia as nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

__all__ = ["Compiled", "Loop", "compiled", "parse_loops"]

CUOBJDUMP = Path(nvidia.__file__).with_name("bin") / "cuobjdump"
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(@!?U?P\d+\s+)?([A-Z][\w.]*)(.*?);")
# What runs on half as many lanes as others, 64 of a multiprocessor (CUDA C++ Programming Guide, throughput of
# arithmetic instructions): comparisons, minima, whole numbers, logic. On sm_80 sums and products of float32 do as well.
HALF_RATE = re.compile(r"^(FMNMX|FSETP|FSEL|SEL|ISETP|IMNMX|VIMNMX|IADD|VIADD|LOP3|PLOP3|SHF|PRMT|LEA)")
FLOAT = re.compile(r"^(FADD|FMUL|FFMA)")
PRODUCT = re.compile(r"^(HGMMA|HMMA|UTC\w*MMA)")
ADDRESS = re.compile(r"0x([0-9a-f]+)")


@dataclass(frozen=True)
class Loop:
    """A loop of the machine code: its instructions, those that are products of the tensor cores, and slow ones."""

    begin: int
    end: int
    instructions: int
    products: int
    half_rate: int
    """Those that run on half as many lanes as others."""
    floats: int
    """Sums and products of float32."""


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a kernel."""

    registers: int
    """Of a thread."""
    stack: int
    """Bytes that did not fit into registers."""
    shared: int
    """Bytes of a block."""
    products: int
    """Instructions of the tensor cores."""
    loops: tuple[Loop, ...]
    """Those with products, or all where there are none; the innermost first."""


def compiled(
    kernel: Any,
    pointers: dict[str, str],
    numbers: tuple[str, ...],
    constants: dict[str, Any],
    capability: int,
    *,
    warps: int,
    stages: int,
) -> Compiled:
    """Compile a kernel for a compute capability.

    Args:
        kernel: a function under `triton.jit`.
        pointers: the type of each pointer ("*fp32"), all of them aligned to 16 bytes, and of other numbers ("fp32").
        numbers: the arguments that are 32-bit whole numbers, not specialised.
        constants: the `tl.constexpr` arguments.
        capability: 80, 90 or 100.
        warps: of a block.
        stages: of the pipeline.
    """
    given = pointers | dict.fromkeys(numbers, "i32") | dict.fromkeys(constants, "constexpr")
    signature = {name: given[name] for name in kernel.arg_names}
    aligned = [name for name, kind in pointers.items() if kind.startswith("*")]
    places = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=places)
    options = {"num_warps": warps, "num_stages": stages}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of defaults that are to change
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        usage, code = (_dump(flag, file.name) for flag in ("--dump-resource-usage", "-sass"))
    registers, stack = map(int, re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())  # type: ignore[union-attr]
    products, loops = parse_loops(code)
    return Compiled(registers, stack, made.metadata.shared, products, loops)


def parse_loops(code: str) -> tuple[int, tuple[Loop, ...]]:
    """The tensor-core instructions of machine code, and its loops: jumps back, with what they jump over."""
    lines = [
        (int(at, 16), guard, name, rest)
        for at, guard, name, rest in INSTRUCTION.findall(code)
        if name != "NOP"
    ]
    back = [
        (int(target[1], 16), at, bool(guard or "UP" in rest))
        for at, guard, name, rest in lines
        if name.startswith("BRA") and (target := ADDRESS.search(rest)) and int(target[1], 16) < at
    ]
    loops = []
    for begin, end, guarded in back:
        inside = [name for at, _, name, _ in lines if begin <= at <= end]
        counts = (sum(bool(kind.match(name)) for name in inside) for kind in (PRODUCT, HALF_RATE, FLOAT))
        loops.append((guarded, Loop(begin, end, len(inside), *counts)))
    products = sum(bool(PRODUCT.match(name)) for _, _, name, _ in lines)
    # A jump back without a condition closes a loop that has its condition elsewhere, or returns from waiting.
    for wanted in (
        [loop for guarded, loop in loops if guarded and loop.products],
        [loop for _, loop in loops if loop.products],
        [loop for _, loop in loops],
    ):
        if wanted:
            return products, tuple(sorted(wanted, key=lambda loop: loop.instructions))
    return products, ()


def _dump(flag: str, path: str) -> str:
    return subprocess.run([CUOBJDUMP, flag, path], capture_output=True, text=True, check=True).stdout
