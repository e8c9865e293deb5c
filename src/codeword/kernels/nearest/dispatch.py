"""Which implementation searches: the fastest that can, or the one that CODEWORD_KERNEL names.

An implementation that fails raises: nothing falls back to another in silence.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.kernels.nearest.prepare import Prepared

__all__ = ["BACKENDS", "backend_for", "search"]

BACKENDS = ("reference", "blocked", "llvm", "triton")
VARIABLE = "CODEWORD_KERNEL"


def search(rows: Tensor, prepared: Prepared, k: int) -> Tensor:
    """Indices of the k nearest codes of each row, nearest first."""
    name = backend_for(rows, k)
    found: Tensor = import_module(f"codeword.kernels.nearest.{name}").search(rows, prepared, k)
    return found


def backend_for(rows: Tensor, k: int) -> str:
    """The name of the implementation that would search these rows.

    Raises:
        CodewordError: CODEWORD_KERNEL names none, or one that cannot search these rows.
    """
    forced = os.environ.get(VARIABLE)
    if not forced:
        return next((name for name in ("llvm", "triton") if not _obstacle(name, rows, k)), "blocked")
    if forced not in BACKENDS:
        raise CodewordError.of(f"{VARIABLE} to be one of {', '.join(BACKENDS)}", repr(forced), "unset it")
    obstacle = _obstacle(forced, rows, k)
    if obstacle:
        raise CodewordError.of(f"{obstacle} for {VARIABLE}={forced}", _described(rows, k), "unset it")
    return forced


def _obstacle(name: str, rows: Tensor, k: int) -> str:
    """What keeps an implementation from searching these rows; empty when nothing does."""
    if name in ("reference", "blocked"):
        return ""
    needs = "llvmlite" if name == "llvm" else "triton"
    if not _installed(needs):
        return (
            f'the package {needs} (pip install "codeword[fast]")' if name == "llvm" else "the package triton"
        )
    if rows.dtype != torch.float32 or k != 1:
        return "float32 rows and k = 1"
    if name == "llvm":
        return "" if rows.device.type == "cpu" else "rows on the CPU"
    interpreted = os.environ.get("TRITON_INTERPRET") == "1" and os.environ.get(VARIABLE) == "triton"
    return "" if rows.device.type == "cuda" or interpreted else "rows on a CUDA device"


def _described(rows: Tensor, k: int) -> str:
    return f"{rows.dtype} rows on {rows.device} with k = {k}"


@cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None
