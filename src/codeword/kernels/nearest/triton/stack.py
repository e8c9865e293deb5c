"""The launches of a residual stack: two, however many stages there are."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared
from codeword.kernels.nearest.triton.modes import Mode, mode_of
from codeword.kernels.nearest.triton.parts import UNIT, packed_of, parts_of
from codeword.kernels.nearest.triton.stack_code import stack, stack_again
from codeword.kernels.nearest.triton.tiles import AGAIN_STACK, Tile, share_of, stack_tile_for
from codeword.kernels.triton.host import interpreted, launch

__all__ = ["search_stack", "serves"]


def serves(features: int) -> bool:
    """Whether rows with this many features stay in registers through all stages."""
    mode = mode_of(features, raw=False)
    return not mode.chunked and mode.width <= 128


def search_stack(
    rows: Tensor, codes: Tensor, prepared: Prepared, seen: bool, embedded: bool, *, tile: Tile | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (N, M), the residual before each stage, and the codes it found (M, N, D); empty if not asked for."""
    rows, codes = rows.contiguous(), codes.contiguous()
    prepared = Prepared(*(part.contiguous() for part in packed_of(prepared)))
    (count, features), stages = rows.shape, len(codes)
    mode = mode_of(features, raw=False)
    tile = tile or stack_tile_for(mode, rows)
    found = torch.empty((count, stages), dtype=torch.int64, device=rows.device)
    left, picked = (rows.new_empty((stages if asked else 0, count, features)) for asked in (seen, embedded))
    if not count:
        return found, left, picked
    parts = parts_of(prepared.codes, features, mode)
    asked = {"D": features, "SEEN": seen, "EMBEDDED": embedded}
    sizes = count, codes.shape[1], prepared.offsets.shape[1], parts.stride, stages
    out = found, left, picked
    launch(
        stack,
        (triton.cdiv(count, tile.rows),),
        rows,
        prepared.shift,
        codes,
        *parts[1:4],
        prepared.offsets,
        *out,
        *sizes,
        **asked,
        **_constants(mode, tile),
    )
    share = share_of(rows, stages)
    todo = torch.empty((stages, count), dtype=torch.int32, device=rows.device)
    given = rows, prepared.shift, codes, prepared.codes, prepared.offsets
    grid = triton.cdiv(count, share), stages
    launch(stack_again, grid, *given, *out, todo, *sizes, share, **asked, **_again_constants(features))
    return out


def _constants(mode: Mode, tile: Tile) -> dict[str, Any]:
    return {
        "DIM": mode.width,
        "PRODUCTS": mode.products,
        "PACKED": mode.packed,
        "ERROR": 2.02 * mode.error,
        "WIDE": interpreted(),
        "ROWS": tile.rows,
        "CODES": tile.codes,
        "STAGES": tile.stages,
        "UNIT": UNIT,
        "num_warps": tile.warps,
        "num_stages": tile.stages,
    }


def _again_constants(features: int) -> dict[str, Any]:
    return {
        "DIM": max(16, triton.next_power_of_2(features)),
        "ROWS": AGAIN_STACK.rows,
        "CODES": AGAIN_STACK.codes,
        "LOOK": AGAIN_STACK.look,
        "UNIT": UNIT,
        "num_warps": AGAIN_STACK.warps,
        "num_stages": AGAIN_STACK.stages,
    }
