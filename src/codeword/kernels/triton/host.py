"""The host's side of a Triton kernel."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

__all__ = ["OLDEST", "interpreted", "launch", "multiprocessors", "obstacle"]

OLDEST = (3, 6)  # what torch 2.11, the oldest that codeword takes, brings
INTERPRETED_MULTIPROCESSORS = 2  # few, so that programs take several blocks in turn


def interpreted() -> bool:
    """Whether kernels run on the CPU, in NumPy: TRITON_INTERPRET=1 was set before triton was imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def obstacle() -> str:
    """Why Triton cannot be used here, as what is needed; empty when it can."""
    needed = f"triton {'.'.join(map(str, OLDEST))} or later"
    try:
        found = version("triton")
    except PackageNotFoundError:
        return f"the package {needed} (torch for CUDA brings it)"
    numbers = tuple(int(number) for number in found.split(".")[:2])
    return "" if numbers >= OLDEST else f"{needed} instead of triton {found} (pip install --upgrade triton)"


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Start a kernel: every start of the library is here, where it can be counted."""
    kernel[grid](*arguments, **constants)


def multiprocessors(tensor: Tensor) -> int:
    """Of the device of a tensor."""
    if not tensor.is_cuda:
        return INTERPRETED_MULTIPROCESSORS
    return int(torch.cuda.get_device_properties(tensor.device).multi_processor_count)
