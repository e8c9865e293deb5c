"""Which implementation searches: the fastest one that supports the rows, or the one that CODEWORD_KERNEL names.

An implementation that fails raises an error; there is no silent fallback to another one.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from codeword.errors import CodewordError, CodewordWarning
from codeword.kernels.nearest.prepare import Prepared
from codeword.kernels.triton import host

__all__ = ["BACKENDS", "HALVES", "backend_for", "packs", "search", "takes_halves", "takes_stacks"]

BACKENDS = ("reference", "blocked", "llvm", "triton")
VARIABLE = host.VARIABLE
PACKS = ("llvm", "triton")  # these have a layout of their own for codes
HALVES = (torch.float16, torch.bfloat16)


def search(rows: Tensor, prepared: Prepared, k: int) -> Tensor:
    """Indices of the k nearest codes of each row, nearest first."""
    name = backend_for(rows, k)
    if name not in PACKS:
        prepared = prepared.unpacked()
    found: Tensor = import_module(f"codeword.kernels.nearest.{name}").search(rows, prepared, k)
    return found


def backend_for(rows: Tensor, k: int) -> str:
    """The name of the implementation that would search these rows.

    Raises:
        CodewordError: CODEWORD_KERNEL names none, or one that cannot search these rows.
    """
    forced = os.environ.get(VARIABLE)
    if not forced:
        if rows.is_cuda and (lacking := host.obstacle() or host.chip_obstacle(rows)):
            _warn_once(f"searches on {rows.device} run in plain torch, without {lacking}")
            return "blocked"
        return next((name for name in ("llvm", "triton") if not _obstacle(name, rows, k)), "blocked")
    if forced not in BACKENDS:
        raise CodewordError.of(f"{VARIABLE} to be one of {', '.join(BACKENDS)}", repr(forced), "unset it")
    obstacle = _obstacle(forced, rows, k)
    if obstacle:
        raise CodewordError.of(f"{obstacle} for {VARIABLE}={forced}", _described(rows, k), "unset it")
    return forced


def packs(codes: Tensor) -> bool:
    """Whether codes are packed for vector code when they are prepared."""
    return os.environ.get(VARIABLE) in (None, "", "llvm") and not _obstacle("llvm", codes, 1)


def takes_halves(rows: Tensor, k: int) -> bool:
    """Whether halves are searched directly. If not, they are converted to float32 first."""
    if rows.dtype not in HALVES or host.obstacle() or not host.serves(rows):
        return False
    return not _triton_obstacle(rows, k)


def takes_stacks(rows: Tensor) -> bool:
    """Whether rows (N, D) are searched in all stages of a residual stack at once."""
    if rows.dtype != torch.float32 or backend_for(rows, 1) != "triton":
        return False
    from codeword.kernels.nearest.triton import stack

    return stack.serves(rows.shape[-1])


def _obstacle(name: str, rows: Tensor, k: int) -> str:
    """Why an implementation cannot search these rows; empty if it can."""
    if name in ("reference", "blocked"):
        return ""
    if name == "llvm":
        if not _installed("llvmlite"):
            return 'the package llvmlite (pip install "codeword[fast]")'
        if rows.dtype != torch.float32 or k != 1:
            return "float32 rows and k = 1"
        return "" if rows.device.type == "cpu" else "rows on the CPU"
    if not (rows.is_cuda or host.interpreted()):
        return "rows on a CUDA device"
    return host.obstacle() or _triton_obstacle(rows, k)


def _triton_obstacle(rows: Tensor, k: int) -> str:
    from codeword.kernels.nearest import triton

    if rows.dtype not in (torch.float32, *HALVES) or k != 1 or rows.shape[-1] > triton.LONGEST:
        return f"float32 rows or halves of at most {triton.LONGEST} features and k = 1"
    if rows.is_cuda:
        return host.chip_obstacle(rows)
    return "" if host.serves(rows) else "rows on a CUDA device"


@cache
def _warn_once(message: str) -> None:
    warnings.warn(CodewordWarning(message), stacklevel=2)


def _described(rows: Tensor, k: int) -> str:
    return f"{rows.dtype} rows on {rows.device} with k = {k}"


@cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None
