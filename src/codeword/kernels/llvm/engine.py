"""Compile LLVM modules for this processor and run their functions from threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import binding, ir
from torch import Tensor

from codeword.kernels.llvm.emit import POINTER

__all__ = ["address", "features", "function", "lanes"]

_ENGINES: list[Any] = []  # compiled code lives as long as its engine


@cache
def _machine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    flags = binding.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=binding.get_host_cpu_name(), features=flags, opt=3, jit=True)


@cache
def features() -> frozenset[str]:
    """Names of the instruction sets that the processor has, as LLVM calls them."""
    return frozenset(name for name, present in binding.get_host_cpu_features().items() if present)


def lanes() -> int:
    """How many float32 a vector register of this processor holds."""
    return 16 if "avx512f" in features() else 8 if "avx2" in features() else 4


def address(tensor: Tensor, number: int = 0) -> int:
    """Where the entry of this number of a contiguous tensor is. A view of the tensor would take longer to make."""
    return tensor.data_ptr() + number * tensor.element_size()


def function(module: ir.Module, name: str) -> Callable[..., None]:
    """Compile the module and return its function `name`. A call of it releases Python's lock."""
    number = ctypes.c_int64
    kinds = [ctypes.c_void_p if a.type == POINTER else number for a in module.globals[name].args]
    return ctypes.CFUNCTYPE(None, *kinds)(_address(module, name))


def _address(module: ir.Module, name: str) -> int:
    machine = _machine()
    module.triple = machine.triple
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    _ENGINES.append(engine)
    return int(engine.get_function_address(name))
