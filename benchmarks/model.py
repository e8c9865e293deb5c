"""How long a kernel should take: operations over rate, bytes over bandwidth, instructions over the clock."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chips import Chip
from benchmarks.compiled import Compiled, Loop

__all__ = [
    "PRODUCT_RATE",
    "SUSTAINED",
    "Work",
    "float_product_ms",
    "floor_ms",
    "half_product_ms",
    "predicted_ms",
]

SUSTAINED = 0.7  # of the stated rate of tensor cores: what large products reach before power limits them
PRODUCT_RATE = (
    0.75  # of the stated rate of float32: flashlib has 50 of 67 teraoperations for cuBLAS on an H200
)
SCHEDULERS = 4  # of a multiprocessor; each starts one instruction of a warp a clock


@dataclass(frozen=True)
class Work:
    """What a launch does. An iteration is one pass through the innermost loop that multiplies."""

    blocks: int
    warps: int
    iterations: int
    """Of a block."""
    products: float
    """Operations of tensor cores in an iteration."""
    l2: float
    """Bytes that an iteration reads."""
    operations: float
    """Operations of all, as few as give the answer."""
    memory: float
    """Bytes of all, each once."""
    outer: int = 0
    """Iterations of the loop around it."""
    tensor_core: bool = True


def predicted_ms(chip: Chip, code: Compiled, work: Work) -> float:
    """The longest of what runs side by side.

    A block waits for its products before it compares scores, unless another block of the same multiprocessor has
    something to do meanwhile: with b of them a share of 1 / b of the shorter one is not hidden. Loads are hidden by the
    pipeline until they need more than the bandwidth. What is before and after the loops is left out. Nothing is faster
    than the floor.
    """
    clock = chip.clock * 1e9
    products = work.products * chip.multiprocessors / (SUSTAINED * chip.half_rate * 1e12)
    issue = _starts(chip, code.loops[0]) * work.warps / SCHEDULERS / clock if code.loops else 0.0
    l2 = work.l2 * chip.multiprocessors / (chip.l2 * 1e9)
    shorter, longer = sorted((products, issue))
    iteration = max(l2, longer + shorter / _resident(chip, code, work.warps))
    around = 0.0
    if work.outer and len(code.loops) > 1:
        more = _starts(chip, code.loops[1]) - _starts(chip, code.loops[0])
        around = work.outer * more * work.warps / SCHEDULERS / clock
    rounds = -(-work.blocks // chip.multiprocessors)
    seconds = rounds * (work.iterations * iteration + around)
    return max(1e3 * seconds, floor_ms(chip, work))


def floor_ms(chip: Chip, work: Work) -> float:
    """What no kernel that does this work can beat: the stated rate, and the stated bandwidth of the memory."""
    rate = chip.half_rate if work.tensor_core else chip.float_rate
    return 1e3 * max(work.operations / (rate * 1e12), work.memory / (chip.memory * 1e9))


def float_product_ms(chip: Chip, n: int, k: int, d: int) -> float:
    """The bare product in float32."""
    return 1e3 * 2 * n * k * d / (PRODUCT_RATE * chip.float_rate * 1e12)


def half_product_ms(chip: Chip, n: int, k: int, d: int) -> float:
    """The bare product of halves."""
    return 1e3 * 2 * n * k * d / (SUSTAINED * chip.half_rate * 1e12)


def _starts(chip: Chip, loop: Loop) -> int:
    """Clocks of a scheduler for one warp to start all instructions; those on half the lanes take it for two."""
    slow = loop.half_rate + (loop.floats if chip.float_lanes == 64 else 0)
    return max(loop.instructions, 2 * slow)


def _resident(chip: Chip, code: Compiled, warps: int) -> int:
    """Blocks that share a multiprocessor; each takes 1 KiB of shared memory for itself."""
    by_registers = chip.registers // (-(-code.registers // 8) * 8 * 32 * warps)
    by_shared = chip.shared_total * 1024 // (code.shared + 1024)
    return max(1, min(by_registers, by_shared, chip.warps // warps))
