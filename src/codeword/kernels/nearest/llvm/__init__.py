"""The search as vector code for the CPU at hand: float32, k = 1. Needs llvmlite."""

from codeword.kernels.nearest.llvm.float32 import prepare, search

__all__ = ["prepare", "search"]
