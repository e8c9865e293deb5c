"""Codes ready for the tensor cores, and the list of rows to look at again."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared
from codeword.kernels.nearest.triton.modes import CHUNK, Mode
from codeword.kernels.nearest.triton.split_code import split
from codeword.kernels.triton.host import interpreted, launch

__all__ = ["SPLIT_CODES", "Parts", "split_codes"]

SPLIT_CODES = 32  # codes that a program takes


class Parts(NamedTuple):
    """What `split` makes of codes (G, K, D), and where a search of rows (G, N, D) puts what is not sure."""

    high: Tensor
    low: Tensor
    offsets: Tensor
    norms: Tensor
    todo: Tensor
    waiting: Tensor


def split_codes(
    rows: Tensor, codes: Tensor, prepared: Prepared, mode: Mode, multiple: int, *, euclidean: bool = False
) -> Parts:
    """Centred codes, or halves as they are: then the metric gives them offsets of their own."""
    groups, size, features = codes.shape
    padded = triton.cdiv(size, multiple) * multiple
    kind = codes.dtype if mode.raw else torch.bfloat16
    high = torch.empty((groups, padded, mode.width), dtype=kind, device=codes.device)
    low = torch.empty_like(high) if mode.products == 3 else high
    offsets, norms = torch.empty((2, groups, padded), dtype=torch.float32, device=codes.device)
    todo = torch.empty(rows.shape[:2], dtype=torch.int32, device=codes.device)
    waiting = torch.empty(groups, dtype=torch.int32, device=codes.device)
    parts = Parts(high, low, offsets, norms, todo, waiting)
    launch(
        split,
        (triton.cdiv(padded, SPLIT_CODES), groups),
        codes,
        prepared.offsets,
        *parts[:4],
        waiting,
        size,
        padded,
        D=features,
        DIM=mode.width,
        PACKED=mode.packed,
        RAW=mode.raw,
        EUCLIDEAN=euclidean,
        WIDE=interpreted(),
        CODES=SPLIT_CODES,
        CHUNK=min(mode.width, CHUNK),
        num_warps=4,
    )
    return parts
