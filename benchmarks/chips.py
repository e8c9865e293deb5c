"""What chips can do, from their makers' papers: the constants of the model in `benchmarks.kernels`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHIPS", "Chip"]


@dataclass(frozen=True)
class Chip:
    """Constants of one chip.

    Sources: NVIDIA A100 Tensor Core GPU Architecture (2020) and H100 Tensor Core GPU Architecture (2022), the data
    sheets of the H200, the DGX B200, the A40, the L40S and the RTX PRO 6000 Blackwell (of which 500 is a quarter of its
    dense FP4); lanes, shared memory, registers and warps: CUDA C++ Programming Guide,
    tables of arithmetic instructions and of compute capabilities. L2: the A100 reads 5,120 bytes a clock, by its paper;
    nothing is published for the others, for which 42 GB/s a multiprocessor is assumed, 5.5 TB/s for the H200.
    """

    name: str
    multiprocessors: int
    clock: float
    """In GHz, boost: what the rates are stated at."""
    half_rate: float
    """Teraoperations a second of dense bfloat16 products."""
    float_rate: float
    """Teraoperations a second of float32 outside the tensor cores."""
    memory: float
    """GB/s."""
    l2: float
    """GB/s."""
    shared: int
    """KiB of shared memory that a block may have."""
    shared_total: int
    """KiB of shared memory of a multiprocessor."""
    float_lanes: int = 128
    """Sums and products of float32 that a multiprocessor does in a clock."""
    registers: int = 65536
    warps: int = 64


CHIPS = {
    80: Chip("A100 80 GB SXM", 108, 1.41, 312, 19.5, 2039, 7219, 163, 164, 64),
    86: Chip("A40", 84, 1.74, 149.7, 37.4, 696, 3500, 99, 100, 128, warps=48),
    89: Chip("L40S", 142, 2.52, 362, 91.6, 864, 6000, 99, 100, 128, warps=48),
    90: Chip("H200 SXM", 132, 1.83, 989, 67, 4800, 5500, 227, 228),
    100: Chip("B200", 148, 1.85, 2250, 75, 8000, 6200, 227, 228),
    120: Chip("RTX PRO 6000 Blackwell", 188, 2.6, 500, 125, 1792, 7900, 99, 100, 128, warps=48),
}
