"""The search with the fused vector code of `float32_code`, and its codes as `prepare_code` packs them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.kernels.llvm import engine, pool
from codeword.kernels.llvm.engine import address
from codeword.kernels.nearest.llvm import float32_code, prepare_code
from codeword.kernels.nearest.llvm.float32_code import Tile
from codeword.kernels.nearest.prepare import SAMPLE, Prepared, unit

__all__ = ["host_tile", "prepare", "search"]

SCRATCH_BYTES = 1 << 17  # a block of rows and its scores stay in the second-level cache


@cache
def host_tile() -> Tile:
    """The tile size that fills the vector registers of this processor."""
    lanes = engine.lanes()
    registers = 32 if lanes == 16 or platform.machine().lower() in ("arm64", "aarch64") else 16
    return Tile(lanes, rows=12 if registers == 32 else 6, vectors=2)


def prepare(codes: Tensor, metric: str, *, tile: Tile | None = None) -> Prepared:
    """Codes (G, K, D) in panels (G, panels, D, width), with offsets (G, panels * width); -inf for padding."""
    tile = tile or host_tile()
    codes = (unit(codes) if metric == "cosine" else codes).contiguous()
    groups, size, features = codes.shape
    width = tile.lanes * tile.vectors
    panels, stride, pairs = -(-size // width), -(-size // SAMPLE), _sorting_network()
    packed = codes.new_empty((groups, panels, features, width))
    offsets, shift = codes.new_empty((groups, panels * width)), codes.new_empty((groups, features))
    run = _compiled("prepare", tile)

    def piece(group: int) -> None:
        scratch = codes.new_empty(SAMPLE * prepare_code.TOGETHER * tile.lanes)
        run(
            address(codes, group * size * features),
            size,
            features,
            metric == "euclidean",
            stride,
            -(-size // stride),
            address(pairs),
            len(pairs),
            SAMPLE,
            panels,
            address(scratch),
            address(packed, group * panels * features * width),
            address(offsets, group * panels * width),
            address(shift, group * features),
        )

    pool.for_each(piece, groups)
    return Prepared(packed, offsets, shift if metric == "euclidean" else shift.zero_())


def search(rows: Tensor, prepared: Prepared, k: int = 1, *, tile: Tile | None = None) -> Tensor:
    """Indices (G, N) of the codes with the largest scores, ties to the lowest index."""
    assert k == 1
    tile = tile or host_tile()
    run, rows, shift = _compiled("search", tile), rows.contiguous(), prepared.shift.contiguous()
    groups, count, features = rows.shape
    width = tile.lanes * tile.vectors
    if not (prepared.packed and prepared.codes.shape[-1] == width):
        prepared = _packed(prepared.unpacked(), width)
    packed, offsets = prepared.codes.contiguous(), prepared.offsets.contiguous()
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
        parts = (0, features, features + tile.lanes, features + 2 * tile.lanes)
        run(
            address(rows, (group * count + start) * features),
            length,
            features,
            address(shift, group * features),
            address(packed, group * panels * features * width),
            address(offsets, group * panels * width),
            panels,
            address(found, group * count + start),
            tiles,
            *(address(scratch, tiles * tile.rows * part) for part in parts),
        )

    pool.for_each(piece, groups * pieces)
    return found


def _packed(prepared: Prepared, width: int) -> Prepared:
    """Codes that were prepared in plain torch, as `prepare` gives them."""
    codes, offsets, shift = prepared
    short = -codes.shape[1] % width
    if short:
        codes, offsets = F.pad(codes, (0, 0, 0, short)), F.pad(offsets, (0, short), value=-torch.inf)
    return Prepared(codes.unflatten(1, (-1, width)).mT.contiguous(), offsets.contiguous(), shift)


@cache
def _sorting_network() -> Tensor:
    """Pairs (swaps, 2) of positions to compare and swap, in this order: Batcher's odd-even merge sort."""
    bits = SAMPLE.bit_length() - 1
    pairs = [
        (low, low + step)
        for size, step in ((1 << i, 1 << j) for i in range(bits) for j in reversed(range(i + 1)))
        for start in range(step % size, SAMPLE - step, 2 * step)
        for low in range(start, start + step)
        if low // (2 * size) == (low + step) // (2 * size)
    ]
    return torch.tensor(pairs, dtype=torch.int64, device="cpu")


@cache
def _compiled(name: str, tile: Tile) -> Callable[..., None]:
    return engine.function({"prepare": prepare_code, "search": float32_code}[name].module(tile), name)
