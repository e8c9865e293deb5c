"""What differs between versions of torch, and the names of torch that are not public: asked here and nowhere else."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.autograd import forward_ad

from codeword.errors import CodewordError

__all__ = [
    "check_exports",
    "copy_each_",
    "free_sizes",
    "inside_backward",
    "inside_transform",
    "is_exporting",
    "no_size_is_special",
    "prepare_for_group",
    "rounds_products",
]

VERSION = tuple(int(number) for number in torch.__version__.split(".")[:2])
COMPILES = (2, 11)  # from here on a step is one graph: tests/promises/test_p6_compile.py
EXPORTS = (2, 11)  # from here on a program is one for all sizes
copy_each_ = torch._foreach_copy_

_COMPILER: Any = torch.compiler
_EXPORTING = "_is_exporting_flag" if hasattr(torch.compiler, "_is_exporting_flag") else "_is_compiling_flag"


def is_exporting() -> bool:
    """Whether torch.export traces, not torch.compile.

    `torch.compiler.is_exporting()` does not exist before torch 2.7, and is True inside torch.compile before 2.12. The
    flag behind it is right in all of them: before there was one for export, only export set that of both.

    Examples:
        >>> is_exporting()
        False
    """
    return bool(getattr(_COMPILER, _EXPORTING))


def rounds_products(device: torch.device) -> bool:
    """Whether the process lets products of float32 be rounded (TF32, bfloat16) on a device.

    From torch 2.9 on there is a switch for each backend, and one for all of them; before there was one for the process.

    Examples:
        >>> rounds_products(torch.device("cpu"))
        False
    """
    backends: Any = torch.backends  # these switches are missing from torch's type stubs
    if not hasattr(backends, "fp32_precision"):
        return torch.get_float32_matmul_precision() != "highest"  # which allow_tf32 of CUDA moves too
    product = backends.cuda.matmul if device.type == "cuda" else backends.mkldnn.matmul
    precision = product.fp32_precision
    if precision == "none":
        precision = backends.fp32_precision
    return precision not in ("none", "ieee")


# What torch.compiler.assume_constant_result does, which would import the compiler: it cannot look into the switches.
rounds_products._dynamo_marked_constant = True  # type: ignore[attr-defined]


def prepare_for_group() -> None:
    """Import what must be imported before a process group is made.

    Imported after it, `torch._dynamo` keeps the group and its threads for good, and a thread of gloo that frees a
    tensor while the interpreter ends aborts the process ("terminate called without an active exception").
    """
    importlib.import_module("torch._dynamo")


def inside_backward() -> bool:
    """Whether autograd runs a backward pass; not to be asked while torch.compile traces.

    Examples:
        >>> inside_backward()
        False
    """
    return torch._C._current_graph_task_id() != -1


def inside_transform() -> bool:
    """Whether torch.func or forward derivatives are at work; not to be asked while torch.compile traces.

    Examples:
        >>> inside_transform()
        False
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def check_exports() -> None:
    """Raise where torch.export cannot trace for all sizes.

    Raises:
        CodewordError: torch before `EXPORTS`.
    """
    if VERSION < EXPORTS:
        expected, got = (
            f"torch {'.'.join(map(str, EXPORTS))} or later to export",
            f"torch {torch.__version__}",
        )
        raise CodewordError.of(expected, got, "update torch, or use the model itself")


def free_sizes(least: dict[int, int]) -> dict[int, Any]:
    """For `dynamic_shapes` of torch.export: axes of any size, each from its smallest on."""
    from torch.export import Dim

    return {axis: Dim.DYNAMIC(min=size) for axis, size in least.items()}


def no_size_is_special(wanted: bool) -> AbstractContextManager[None]:
    """While torch.export traces: sizes 0 and 1 are no cases of their own, so that a program traced with 2 takes 1."""
    tracing: Any = torch.fx.experimental._config
    patched: AbstractContextManager[None] = tracing.patch(backed_size_oblivious=wanted)
    return patched
