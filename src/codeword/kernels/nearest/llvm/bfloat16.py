"""The search of `bfloat16_code`: the answer of float32 at nearly the speed of bfloat16 products."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.kernels.llvm import engine, pool
from codeword.kernels.nearest.llvm import float32
from codeword.kernels.nearest.llvm.bfloat16_code import LEAST_LENGTH, module
from codeword.kernels.nearest.llvm.float32_code import Tile
from codeword.kernels.nearest.prepare import prepare

__all__ = ["available", "search"]

TILE = Tile(lanes=16, rows=12, vectors=2)
DEPTH = 4  # panels in a bundle: 8 codes for each lane
SCRATCH_BYTES = 1 << 17


def available() -> bool:
    """Whether this processor multiplies bfloat16."""
    return "avx512bf16" in engine.features()


def search(rows: Tensor, codes: Tensor, metric: str) -> Tensor:
    """Indices (G, N) of the codes with the largest float32 scores, ties to the lowest index."""
    run, rows, packed = _compiled(), rows.contiguous(), _packed(codes, metric)
    groups, count, features = rows.shape
    bundles, steps, stride = packed.pairs.shape[1] // DEPTH, packed.pairs.shape[2], packed.exact.shape[-1]
    found = torch.empty((groups, count), dtype=torch.int64)
    floats = [steps, bundles * TILE.lanes, 1]  # of scratch for each row
    block = max(1, SCRATCH_BYTES // (4 * sum(floats) * TILE.rows))
    size = pool.piece(count, block * TILE.rows)
    pieces = -(-count // size)

    def piece(number: int) -> None:
        group, start = number // pieces, number % pieces * size
        length = min(size, count - start)
        tiles = min(block, -(-length // TILE.rows))
        parts = [*(tiles * TILE.rows * each for each in floats), stride]
        scratch = torch.empty(sum(parts)).split(parts)
        scratch[-1].zero_()
        codes = [tensor[group].data_ptr() for tensor in packed]
        row, result = rows[group, start].data_ptr(), found[group, start:].data_ptr()
        sizes = bundles, DEPTH, stride, bundles
        run(row, length, features, *codes, *sizes, result, tiles, *(part.data_ptr() for part in scratch))

    pool.for_each(piece, groups * pieces)
    return _completed(found, rows, codes, metric)


def _completed(found: Tensor, rows: Tensor, codes: Tensor, metric: str) -> Tensor:
    """Search in float32 the rows that were left because bfloat16 cannot tell many of the codes apart."""
    for group, left in enumerate(found < 0):
        if left.any():
            found[group, left] = float32.search(rows[group, left][None], codes[group][None], metric)[0]
    return found


class _Packed(NamedTuple):
    """The codes in the forms and the order in which the kernel takes them, each with one entry for a group."""

    shift: Tensor
    pairs: Tensor
    ceilings: Tensor
    offsets: Tensor
    exact: Tensor


def _packed(codes: Tensor, metric: str) -> _Packed:
    centred, offsets, shift = prepare(codes, metric)
    groups, size, features = codes.shape
    width = TILE.lanes * TILE.vectors
    panels = -(-size // (width * DEPTH)) * DEPTH
    missing = panels * width - size
    exact = F.pad(centred, (0, -features % TILE.lanes, 0, missing))
    offsets = F.pad(offsets, (0, missing), value=-torch.inf)
    pairs, ceilings = _bounded(exact[..., : features + features % 2], offsets)
    pairs = pairs.view(groups, panels, width, pairs.shape[-1] // 2, 2).transpose(2, 3).contiguous()
    return _Packed(shift.contiguous(), pairs, ceilings, offsets, exact)


def _bounded(codes: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (G, K, D) rounded to bfloat16, behind them the pair that bounds the rounding; and raised offsets."""
    rounded = codes.to(torch.bfloat16)
    length = codes.norm(dim=-1) + LEAST_LENGTH
    error = (codes - rounded).norm(dim=-1) + LEAST_LENGTH
    rounding = 4 * (codes.shape[-1] + 2) * 2.0**-24
    pair = torch.stack([length, error + rounding * length], -1) * (
        1 + 2.0**-6
    )  # still not below once rounded
    ceilings = offsets + rounding * offsets.abs().nan_to_num(posinf=0.0)
    return torch.cat([rounded, pair.to(torch.bfloat16)], -1), ceilings


@cache
def _compiled() -> Callable[..., None]:
    p, i = ctypes.c_void_p, ctypes.c_int64
    kinds = [p, i, i, p, p, p, p, p, i, i, i, i, p, i, p, p, p, p]
    return ctypes.CFUNCTYPE(None, *kinds)(engine.address(module(TILE), "search"))
