"""The host side of Triton kernels."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "CHIPS",
    "OLDEST",
    "chip_obstacle",
    "interpreted",
    "launch",
    "multiprocessors",
    "obstacle",
    "serves",
    "start",
]

VARIABLE = "CODEWORD_KERNEL"
OLDEST = (3, 6)  # what torch 2.11 brings; with an older torch the search runs in plain torch
# Compute capability to the chip of the tables of tiles, which is what the kernels are compiled and checked for.
CHIPS: dict[tuple[int, int], int] = {
    (8, 0): 80,
    (8, 6): 86,
    (8, 9): 89,
    (9, 0): 90,
    (10, 0): 100,
    (10, 3): 100,
    (12, 0): 120,
}
INTERPRETED_MULTIPROCESSORS = 2  # few, so that programs take several blocks in turn


def interpreted() -> bool:
    """Whether kernels run on the CPU, in NumPy: TRITON_INTERPRET=1 was set before triton was imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def obstacle() -> str:
    """What is needed before Triton can be used here; empty if it can."""
    needed = f"triton {'.'.join(map(str, OLDEST))} or later"
    try:
        found = version("triton")
    except PackageNotFoundError:
        return f"the package {needed} (torch for CUDA brings it)"
    numbers = tuple(int(number) for number in found.split(".")[:2])
    return "" if numbers >= OLDEST else f"{needed} instead of triton {found} (pip install --upgrade triton)"


def chip_obstacle(tensor: Tensor) -> str:
    """What is needed before the kernels can run on the device of a CUDA tensor; empty if they can."""
    if torch.version.hip:
        return "a chip of NVIDIA's"
    capability = torch.cuda.get_device_capability(tensor.device)
    known = ", ".join(f"{major}.{minor}" for major, minor in CHIPS)
    found = f"{capability[0]}.{capability[1]}"
    return "" if capability in CHIPS else f"a chip of compute capability {known} (this one has {found})"


def serves(tensor: Tensor) -> bool:
    """Whether the kernels run on the device of a tensor, and CODEWORD_KERNEL does not name other ones."""
    forced = os.environ.get(VARIABLE)
    if tensor.is_cuda:
        return forced in (None, "", "triton") and not chip_obstacle(tensor)
    return interpreted() and forced == "triton"


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Start a kernel. All kernels of the library start here, so tests can count them."""
    start(kernel, grid, *arguments, **constants)


def start(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """What `launch` calls: tests put another in its place."""
    device = next(one.device for one in arguments if isinstance(one, Tensor))
    # triton takes the current device, whatever the tensors are on
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[grid](*arguments, **constants)


def multiprocessors(tensor: Tensor) -> int:
    """Of the device of a tensor."""
    if not tensor.is_cuda:
        return INTERPRETED_MULTIPROCESSORS
    return int(torch.cuda.get_device_properties(tensor.device).multi_processor_count)
