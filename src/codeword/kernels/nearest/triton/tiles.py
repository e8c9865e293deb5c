"""The table of tiles: what `benchmarks.kernels` found to be the fastest by its model, and compiles row by row."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from codeword.kernels.nearest.triton.modes import Mode
from codeword.kernels.triton.host import CHIPS, multiprocessors

__all__ = [
    "AGAIN",
    "AGAIN_STACK",
    "FEW",
    "FEW_STACK",
    "STACKS",
    "TILES",
    "Again",
    "Tile",
    "share_of",
    "stack_tile_for",
    "tile_for",
]

Class = tuple[
    str, int
]  # how rows are multiplied, and their width where they are kept; 0: they come in chunks


class Tile(NamedTuple):
    """Rows that a program keeps, codes at once, warps, and tiles of codes on their way."""

    rows: int
    codes: int
    warps: int
    stages: int


class Again(NamedTuple):
    """The tile of the second launch, and how many rows it looks through at once."""

    rows: int = 16
    codes: int = 64
    chunk: int = 32
    warps: int = 4
    stages: int = 2
    look: int = 256


AGAIN = Again()
AGAIN_STACK = Again(codes=32, warps=8, stages=1)

INTERPRETED = Tile(64, 64, 4, 1)  # for the interpreter, which has no tensor cores
_PER_LANE = Tile(128, 32, 4, 3)

# Chips whose tensor cores take registers; a block of most of them has 99 KiB of shared memory.
_REGISTERS: dict[Class, Tile] = {
    ("packed", 16): Tile(64, 32, 4, 3),
    ("packed", 32): Tile(64, 32, 4, 3),
    ("packed", 64): Tile(64, 32, 4, 3),
    ("packed", 128): Tile(64, 32, 4, 2),
    ("parts", 16): Tile(64, 32, 4, 3),
    ("parts", 32): Tile(64, 32, 4, 3),
    ("parts", 64): Tile(64, 32, 4, 3),
    ("parts", 128): Tile(64, 32, 4, 2),
    ("parts", 256): Tile(32, 64, 8, 1),
    ("parts", 0): Tile(64, 32, 4, 2),
    ("halves", 16): Tile(64, 32, 4, 3),
    ("halves", 32): Tile(64, 32, 4, 3),
    ("halves", 64): Tile(64, 32, 4, 3),
    ("halves", 128): Tile(64, 32, 4, 3),
    ("halves", 256): Tile(64, 64, 8, 2),
    ("halves", 512): Tile(64, 32, 8, 2),
    ("halves", 0): Tile(128, 128, 8, 3),
}

TILES: dict[int, dict[Class, Tile]] = {
    80: _REGISTERS | {("parts", 0): Tile(32, 64, 4, 2)},  # that of the others spills here
    **dict.fromkeys((86, 89, 120), _REGISTERS),
    90: {
        ("packed", 16): _PER_LANE,
        ("packed", 32): _PER_LANE,
        ("packed", 64): _PER_LANE,
        ("packed", 128): Tile(128, 64, 8, 2),
        ("parts", 16): _PER_LANE,
        ("parts", 32): _PER_LANE,
        ("parts", 64): _PER_LANE,
        ("parts", 128): Tile(128, 64, 8, 3),
        ("parts", 256): Tile(64, 64, 8, 2),
        ("parts", 0): Tile(128, 64, 8, 3),
        ("halves", 16): _PER_LANE,
        ("halves", 32): _PER_LANE,
        ("halves", 64): _PER_LANE,
        ("halves", 128): _PER_LANE,
        ("halves", 256): Tile(128, 64, 8, 3),
        ("halves", 512): Tile(64, 64, 8, 2),
        ("halves", 0): Tile(128, 128, 8, 3),
    },
    100: {
        ("packed", 16): _PER_LANE,
        ("packed", 32): _PER_LANE,
        ("packed", 64): _PER_LANE,
        ("packed", 128): Tile(128, 64, 8, 2),
        ("parts", 16): _PER_LANE,
        ("parts", 32): _PER_LANE,
        ("parts", 64): _PER_LANE,
        ("parts", 128): Tile(128, 64, 8, 2),
        ("parts", 256): Tile(64, 64, 8, 2),
        ("parts", 0): Tile(128, 64, 8, 3),
        ("halves", 16): _PER_LANE,
        ("halves", 32): _PER_LANE,
        ("halves", 64): _PER_LANE,
        ("halves", 128): _PER_LANE,
        ("halves", 256): Tile(64, 32, 4, 3),
        ("halves", 512): Tile(64, 64, 8, 2),
        ("halves", 0): Tile(128, 128, 8, 3),
    },
}

# The same for residual stacks, which keep more at once.
_STACK = Tile(64, 32, 4, 3)
_STACK_REGISTERS: dict[Class, Tile] = {
    ("packed", 16): _STACK,
    ("packed", 32): _STACK,
    ("packed", 64): _STACK,
    ("packed", 128): Tile(32, 64, 8, 2),
    ("parts", 16): _STACK,
    ("parts", 32): _STACK,
    ("parts", 64): Tile(64, 32, 4, 1),
    ("parts", 128): Tile(32, 64, 8, 1),
}
STACKS: dict[int, dict[Class, Tile]] = {
    **dict.fromkeys((80, 86, 89, 120), _STACK_REGISTERS),
    90: {
        ("packed", 16): _STACK,
        ("packed", 32): _STACK,
        ("packed", 64): _STACK,
        ("packed", 128): Tile(64, 64, 8, 2),
        ("parts", 16): _STACK,
        ("parts", 32): _STACK,
        ("parts", 64): _STACK,
        ("parts", 128): Tile(64, 64, 8, 2),
    },
    100: {
        ("packed", 16): _STACK,
        ("packed", 32): _STACK,
        ("packed", 64): _STACK,
        ("packed", 128): Tile(64, 64, 8, 2),
        ("parts", 16): _STACK,
        ("parts", 32): _STACK,
        ("parts", 64): _STACK,
        ("parts", 128): Tile(64, 64, 8, 2),
    },
}


# For all chips, when the tiles of the tables are too few to keep the chip busy.
_FEW = Tile(16, 64, 4, 3)
FEW: dict[Class, Tile] = {
    ("packed", 16): _FEW,
    ("packed", 32): _FEW,
    ("packed", 64): _FEW,
    ("packed", 128): _FEW,
    ("parts", 16): _FEW,
    ("parts", 32): _FEW,
    ("parts", 64): _FEW,
    ("parts", 128): Tile(16, 64, 4, 2),
    ("parts", 256): Tile(16, 32, 4, 2),
    ("parts", 0): Tile(16, 64, 4, 3),
    ("halves", 16): _FEW,
    ("halves", 32): _FEW,
    ("halves", 64): _FEW,
    ("halves", 128): _FEW,
    ("halves", 256): Tile(16, 64, 4, 2),
    ("halves", 512): Tile(16, 32, 4, 2),
    ("halves", 0): Tile(16, 64, 4, 3),
}
FEW_STACK: dict[Class, Tile] = {
    ("packed", 16): _FEW,
    ("packed", 32): _FEW,
    ("packed", 64): _FEW,
    ("packed", 128): _FEW,
    ("parts", 16): _FEW,
    ("parts", 32): _FEW,
    ("parts", 64): _FEW,
    ("parts", 128): Tile(16, 32, 4, 2),
}


def tile_for(mode: Mode, rows: Tensor) -> Tile:
    """The tile for rows (G, N, D) on their device, which must be a chip of the table."""
    return _tile(TILES, FEW, mode, rows, rows.shape[:-1].numel())


def stack_tile_for(mode: Mode, rows: Tensor) -> Tile:
    """The tile of a residual stack, for rows (N, D)."""
    return _tile(STACKS, FEW_STACK, mode, rows, len(rows))


def share_of(rows: Tensor, groups: int) -> int:
    """How many rows (..., N, D) of each of `groups` a program of the second launch checks."""
    return max(AGAIN.look, -(-rows.shape[-2] * groups // (4 * multiprocessors(rows))))


def _tile(
    many: dict[int, dict[Class, Tile]], few: dict[Class, Tile], mode: Mode, rows: Tensor, count: int
) -> Tile:
    if not rows.is_cuda:
        return INTERPRETED
    tile = many[CHIPS[torch.cuda.get_device_capability(rows.device)]][mode.shape_class]
    return tile if count > tile.rows * (multiprocessors(rows) - 1) else few[mode.shape_class]
