"""Prepare codes: as an operator, `torch.ops.codeword.prepare`, with Triton or LLVM, otherwise in plain torch.

`prepare(codes (G, K, D), metric)` gives what `kernels/nearest/prepare.py` says: codes, offsets and shift.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.kernels.groups import mapped
from codeword.kernels.nearest import dispatch
from codeword.kernels.nearest.prepare import Prepared
from codeword.kernels.nearest.prepare import prepare as plain
from codeword.kernels.triton import host

__all__ = ["prepare"]


def prepare(codes: Tensor, metric: str) -> Prepared:
    """Centre the codes (..., K, D), float32 or float64. A traced program uses plain torch, which the compiler fuses."""
    if torch.compiler.is_compiling() or not _kernel_for(codes, metric):
        return plain(codes, metric)
    lead = codes.shape[:-2]
    parts = _operator(codes.reshape(lead.numel(), *codes.shape[-2:]), metric)
    return Prepared(*(part.reshape(*lead, *part.shape[1:]) for part in parts))


def _kernel_for(codes: Tensor, metric: str) -> str:
    """The name of the implementation that prepares these codes; empty for plain torch."""
    if codes.dtype == torch.float32 and metric != "cosine" and not host.obstacle() and host.serves(codes):
        return "triton"
    return "llvm" if dispatch.packs(codes) else ""


def _prepare(codes: Tensor, metric: str) -> tuple[Tensor, Tensor, Tensor]:
    name = _kernel_for(codes, metric)
    if name == "llvm":
        from codeword.kernels.nearest import llvm

        return llvm.prepare(codes, metric)
    if name == "triton":
        from codeword.kernels.nearest.triton import prepared

        return prepared.prepare(codes, metric)
    return plain(codes, metric)


def _shapes(codes: Tensor, metric: str) -> tuple[Tensor, Tensor, Tensor]:
    shift = codes.new_empty((codes.shape[0], codes.shape[2]))
    if _kernel_for(codes, metric) == "triton" and codes.numel():
        from codeword.kernels.nearest.triton import parts

        numbers, padded = parts.sizes(codes)
        return codes.new_empty((codes.shape[0], numbers)), codes.new_empty((codes.shape[0], padded)), shift
    return torch.empty_like(codes), codes.new_empty(codes.shape[:2]), shift


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define("prepare(Tensor codes, str metric) -> (Tensor codes, Tensor offsets, Tensor shift)")
_LIBRARY.impl("prepare", _prepare, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::prepare", _shapes, lib=_LIBRARY)

_operator = torch.ops.codeword.prepare.default
torch.library.register_vmap("codeword::prepare", mapped(_operator), lib=_LIBRARY)
