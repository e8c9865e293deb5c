"""The search as vector code for the CPU at hand: float32, k = 1. Needs llvmlite."""

from __future__ import annotations

from torch import Tensor

from codeword.kernels.nearest.llvm import bfloat16, float32

__all__ = ["search"]

# Below any of these, packing, proposing and deciding cost more than the products save.
LEAST_ROWS = 1024
LEAST_FEATURES = 32
LEAST_CODE_NUMBERS = 1 << 16


def search(rows: Tensor, codes: Tensor, metric: str, k: int = 1) -> Tensor:
    """Indices (G, N) of the codes with the largest scores, ties to the lowest index."""
    assert k == 1
    size, features = codes.shape[1:]
    large = (
        rows.shape[1] >= LEAST_ROWS and features >= LEAST_FEATURES and size * features >= LEAST_CODE_NUMBERS
    )
    return (bfloat16 if large and bfloat16.available() else float32).search(rows, codes, metric)
