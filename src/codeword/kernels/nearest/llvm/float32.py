"""The search with the fused vector code of `float32_code`."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.kernels.llvm import engine, pool
from codeword.kernels.nearest.llvm.float32_code import Tile, module
from codeword.kernels.nearest.prepare import Prepared

__all__ = ["host_tile", "search"]

SCRATCH_BYTES = 1 << 17  # a block of rows and its scores stay in the second-level cache


def host_tile() -> Tile:
    """The tile that fills this processor's vector registers."""
    if "avx512f" in engine.features():
        return Tile(lanes=16, rows=12, vectors=2)
    if "avx2" in engine.features():
        return Tile(lanes=8, rows=6, vectors=2)
    wide = platform.machine().lower() in ("arm64", "aarch64")  # 32 registers
    return Tile(lanes=4, rows=12 if wide else 6, vectors=2)


def search(rows: Tensor, prepared: Prepared, k: int = 1, *, tile: Tile | None = None) -> Tensor:
    """Indices (G, N) of the codes with the largest scores, ties to the lowest index."""
    assert k == 1
    tile = tile or host_tile()
    run, rows, shift = _compiled(tile), rows.contiguous(), prepared.shift.contiguous()
    groups, count, features = rows.shape
    packed, offsets = _packed(prepared, tile.lanes * tile.vectors)
    panels = packed.shape[1]
    found = rows.new_empty((groups, count), dtype=torch.int64)

    row_bytes = 4 * (features + 2 * tile.lanes + 1)
    block = max(1, SCRATCH_BYTES // (row_bytes * tile.rows))
    size = pool.piece(count, block * tile.rows)
    pieces = -(-count // size)

    def piece(number: int) -> None:
        group, start = number // pieces, number % pieces * size
        length = min(size, count - start)
        tiles = min(block, -(-length // tile.rows))
        scratch = rows.new_empty(tiles * tile.rows * row_bytes // 4)
        parts = scratch.split([tiles * tile.rows * n for n in (features, tile.lanes, tile.lanes, 1)])
        run(
            rows[group, start].data_ptr(),
            length,
            features,
            shift[group].data_ptr(),
            packed[group].data_ptr(),
            offsets[group].data_ptr(),
            panels,
            found[group, start:].data_ptr(),
            tiles,
            *(part.data_ptr() for part in parts),
        )

    pool.for_each(piece, groups * pieces)
    return found


def _packed(prepared: Prepared, width: int) -> tuple[Tensor, Tensor]:
    """The codes in panels (G, panels, D, width), and their offsets: -inf, which nothing chooses, for what is added."""
    codes, offsets, _ = prepared
    short = -codes.shape[1] % width
    if short:
        codes, offsets = F.pad(codes, (0, 0, 0, short)), F.pad(offsets, (0, short), value=-torch.inf)
    return codes.unflatten(1, (-1, width)).mT.contiguous(), offsets.contiguous()


@cache
def _compiled(tile: Tile) -> Callable[..., None]:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    kinds = [pointer, number, number, pointer, pointer, pointer, number, pointer, number, *[pointer] * 4]
    return ctypes.CFUNCTYPE(None, *kinds)(engine.address(module(tile), "search"))  # lets go of Python's lock
