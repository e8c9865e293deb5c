"""Kernels as LLVM vector code, compiled in memory on first use. Needs `llvmlite` (the extra `fast`)."""
