"""Codes packed for the tensor cores, in one tensor that is kept until the codes change."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared
from codeword.kernels.nearest.triton.modes import CHUNK, Mode, mode_of
from codeword.kernels.nearest.triton.split_code import split
from codeword.kernels.triton.host import interpreted, launch

__all__ = ["SPLIT_CODES", "UNIT", "Parts", "length", "pack", "pack_halves", "packed_of", "parts_of", "sizes"]

SPLIT_CODES = 32  # codes that a program takes
UNIT = 64  # codes are padded to multiples of this, which tiles divide; parts are aligned to it


class Parts(NamedTuple):
    """Views of packed codes (G, numbers), each from its own beginning in the first group.

    Attributes:
        codes: (padded, D) float32, centred; of halves there is none.
        high: (padded, width), as `modes` says; in bfloat16, or the halves as they are.
        low: (padded, width); `high` where there is none.
        norms: (padded,), |c|^2.
        stride: from one group to the next, in units of numbers.
    """

    codes: Tensor
    high: Tensor
    low: Tensor
    norms: Tensor
    stride: int


def length(padded: int, features: int, mode: Mode) -> int:
    """How many float32 numbers packed codes take."""
    halves = mode.width * (2 if mode.products == 3 else 1)
    return padded * ((0 if mode.raw else features) + halves // 2 + 1)


def sizes(codes: Tensor) -> tuple[int, int]:
    """How many numbers float32 codes (G, K, D) take, packed, and how many codes there are then."""
    padded = triton.cdiv(codes.shape[1], UNIT) * UNIT
    return length(padded, codes.shape[2], mode_of(codes.shape[2], raw=False)), padded


def parts_of(packed: Tensor, features: int, mode: Mode, kind: torch.dtype = torch.bfloat16) -> Parts:
    """The parts of packed codes."""
    numbers = packed.shape[1]
    padded = numbers * UNIT // length(UNIT, features, mode)
    exact, half = (0 if mode.raw else padded * features), padded * mode.width
    halves, flat = packed.view(kind).view(-1), packed.view(-1)
    high = halves[2 * exact :]
    low = high[half:] if mode.products == 3 else high
    return Parts(flat, high, low, flat[numbers - padded :], numbers // UNIT)


def pack(
    codes: Tensor, middle: Tensor | None, given: Tensor | None, *, euclidean: bool
) -> tuple[Tensor, Tensor]:
    """Codes (G, K, D) packed, and their offsets (G, padded), -inf for those that are added.

    Either `middle` (G, D) is taken off and the metric gives the offsets, or the codes are centred, with the offsets
    (G, K) that are given.
    """
    mode = mode_of(codes.shape[2], raw=False)
    return _pack(codes, middle, given, mode, torch.bfloat16, UNIT, euclidean=euclidean)


def pack_halves(codes: Tensor, mode: Mode, multiple: int, *, euclidean: bool) -> tuple[Tensor, Tensor]:
    """The same of halves as they are, with offsets of their own."""
    return _pack(codes, None, None, mode, codes.dtype, max(UNIT, multiple), euclidean=euclidean)


def packed_of(prepared: Prepared) -> Prepared:
    """Prepared codes (G, K, D), packed."""
    if prepared.codes.ndim == prepared.offsets.ndim:
        return prepared
    prepared = prepared.unpacked()
    packed, offsets = pack(prepared.codes.contiguous(), None, prepared.offsets.contiguous(), euclidean=False)
    return Prepared(packed, offsets, prepared.shift)


def _pack(
    codes: Tensor,
    middle: Tensor | None,
    given: Tensor | None,
    mode: Mode,
    kind: torch.dtype,
    multiple: int,
    *,
    euclidean: bool,
) -> tuple[Tensor, Tensor]:
    groups, size, features = codes.shape
    padded = triton.cdiv(size, multiple) * multiple
    packed = torch.empty((groups, length(padded, features, mode)), dtype=torch.float32, device=codes.device)
    offsets = torch.empty((groups, padded), dtype=torch.float32, device=codes.device)
    parts = parts_of(packed, features, mode, kind)
    launch(
        split,
        (triton.cdiv(padded, SPLIT_CODES), groups),
        codes,
        offsets if middle is None else middle,
        offsets if given is None else given,
        *parts[:4],
        offsets,
        size,
        padded,
        parts.stride,
        D=features,
        DIM=mode.width,
        PACKED=mode.packed,
        RAW=mode.raw,
        GIVEN=given is not None,
        EUCLIDEAN=euclidean,
        WIDE=interpreted(),
        CODES=SPLIT_CODES,
        CHUNK=min(mode.width, CHUNK),
        UNIT=UNIT,
        num_warps=4,
    )
    return packed, offsets
