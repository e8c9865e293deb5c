"""The search as vector code for this CPU: float32, k = 1. Needs llvmlite."""

from codeword.kernels.nearest.llvm.float32 import prepare, search

__all__ = ["prepare", "search"]
