"""The table of tiles: what `benchmarks.kernels` found to be the fastest by its model, and compiles row by row."""

from __future__ import annotations

from typing import NamedTuple

from codeword.kernels.nearest.triton.modes import Mode
from codeword.kernels.triton.host import CHIPS

__all__ = ["AGAIN", "AGAIN_STACK", "STACKS", "TILES", "Again", "Tile", "stack_tile_for", "tile_for"]


class Tile(NamedTuple):
    """Rows that a program keeps, codes at once, warps, and tiles of codes on their way."""

    rows: int
    codes: int
    warps: int
    stages: int


class Again(NamedTuple):
    """The tile of the second launch."""

    rows: int = 16
    codes: int = 64
    chunk: int = 32
    warps: int = 4
    stages: int = 2


AGAIN = Again()
AGAIN_STACK = Again(codes=32, warps=8, stages=1)

_PER_LANE = Tile(128, 32, 4, 3)

# chip: {(how it is multiplied, width of the rows that are kept; 0: they come in chunks): tile}
TILES: dict[int, dict[tuple[str, int], Tile]] = {
    80: {
        ("packed", 16): Tile(64, 32, 4, 3),
        ("packed", 32): Tile(64, 32, 4, 3),
        ("packed", 64): Tile(64, 32, 4, 3),
        ("packed", 128): Tile(64, 32, 4, 2),
        ("parts", 16): Tile(64, 32, 4, 3),
        ("parts", 32): Tile(64, 32, 4, 3),
        ("parts", 64): Tile(64, 32, 4, 3),
        ("parts", 128): Tile(64, 32, 4, 2),
        ("parts", 256): Tile(32, 32, 4, 2),
        ("parts", 0): Tile(64, 32, 4, 2),
        ("halves", 16): Tile(64, 32, 4, 3),
        ("halves", 32): Tile(64, 32, 4, 3),
        ("halves", 64): Tile(64, 32, 4, 3),
        ("halves", 128): Tile(64, 32, 4, 3),
        ("halves", 256): Tile(64, 64, 8, 2),
        ("halves", 512): Tile(64, 64, 8, 2),
        ("halves", 0): Tile(128, 128, 8, 3),
    },
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
STACKS: dict[int, dict[tuple[str, int], Tile]] = {
    80: {
        ("packed", 16): _STACK,
        ("packed", 32): _STACK,
        ("packed", 64): _STACK,
        ("packed", 128): Tile(64, 64, 8, 2),
        ("parts", 16): _STACK,
        ("parts", 32): _STACK,
        ("parts", 64): Tile(64, 32, 4, 2),
        ("parts", 128): Tile(32, 32, 4, 2),
    },
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


def tile_for(mode: Mode, capability: tuple[int, int]) -> Tile:
    """The tile of a mode on a chip that the table has."""
    return TILES[CHIPS[capability]][mode.shape_class]


def stack_tile_for(mode: Mode, capability: tuple[int, int]) -> Tile:
    """That of a residual stack."""
    return STACKS[CHIPS[capability]][mode.shape_class]
