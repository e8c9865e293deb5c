"""The search in plain torch, tiled over rows and codes so that its scratch stays within a few MiB."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared, are_finite, prepare

__all__ = ["search", "widened"]

SCRATCH_SCORES = 1 << 20  # scores held at once: 4 MiB of float32
CODES_AT_ONCE = 8192
TILE = 128  # codes whose maximum is taken first: far cheaper than an argmax over all of them

Best = tuple[Tensor, Tensor]  # scores and indices (G, B, k), the largest score first


def search(rows: Tensor, codes: Tensor, metric: str, k: int) -> Tensor:
    """Indices of the k codes with the largest scores, ties to the lowest index."""
    groups, count, _ = rows.shape
    found = rows.new_empty((groups, count, k), dtype=torch.int64)
    prepared = widened(_padded(prepare(codes, metric)))
    scores = SCRATCH_SCORES // max(groups, 1)
    at_once = min(CODES_AT_ONCE, prepared.codes.shape[1], max(scores // TILE, 1) * TILE)
    block = max(scores // at_once, 1)
    with torch.autocast(rows.device.type, enabled=False):
        for start in range(0, count, block):
            found[:, start : start + block] = _search_block(
                rows[:, start : start + block], prepared, k, at_once
            )
    return found.squeeze(-1) if k == 1 else found


def _padded(prepared: Prepared) -> Prepared:
    """Whole tiles. What is added has the score -inf, less than a code that is not finite."""
    short = -prepared.codes.shape[1] % TILE
    codes, offsets, shift = prepared
    offsets = offsets.clamp_min(torch.finfo(offsets.dtype).min)
    return Prepared(F.pad(codes, (0, 0, 0, short)), F.pad(offsets, (0, short), value=-torch.inf), shift)


def widened(prepared: Prepared) -> Prepared:
    """float64 where the process lets float32 products be rounded (TF32, bfloat16).

    That switch is one for all threads, so it cannot be turned for a moment.
    """
    backends: Any = torch.backends  # these switches are missing from torch's type stubs
    product = backends.cuda.matmul if prepared.codes.is_cuda else backends.mkldnn.matmul
    precision = product.fp32_precision
    if precision == "none":
        precision = backends.fp32_precision
    return prepared if precision in ("none", "ieee") else Prepared(*(part.double() for part in prepared))


def _search_block(rows: Tensor, prepared: Prepared, k: int, at_once: int) -> Tensor:
    finite = are_finite(rows)
    centred = torch.where(finite, rows - prepared.shift, 0)
    best: Best | None = None
    for start in range(0, prepared.codes.shape[1], at_once):
        part = slice(start, start + at_once)
        scores = torch.baddbmm(prepared.offsets[:, None, part], centred, prepared.codes[:, part].mT)
        values, indices = _largest_(scores, k)
        best = _better(best, (values, indices + start), k)
    assert best is not None
    return torch.where(finite, best[1], torch.arange(k, device=rows.device))


def _better(best: Best | None, other: Best, k: int) -> Best:
    """The k best of both. The codes of `best` come first, so the sort keeps equal scores in order."""
    if best is None:
        return other
    values, order = torch.cat([best[0], other[0]], -1).sort(stable=True, dim=-1, descending=True)
    return values[..., :k], torch.cat([best[1], other[1]], -1).gather(-1, order[..., :k])


def _largest_(scores: Tensor, k: int) -> Best:
    """The k largest scores, largest first, equal ones in the order of their places. Overwrites what it takes."""
    found = [_first(scores)]
    while len(found) < min(k, scores.shape[-1]):
        scores.scatter_(-1, found[-1][1], -torch.inf)
        found.append(_first(scores))
    values, places = zip(*found, strict=True)
    return torch.cat(values, -1), torch.cat(places, -1)


def _first(scores: Tensor) -> Best:
    """The largest score and its first place: the first tile that has it, then the first code of it."""
    tiles = scores.unflatten(-1, (-1, TILE))
    tile = tiles.amax(-1).argmax(-1, keepdim=True)
    inside = tiles.gather(-2, tile[..., None].expand(*tile.shape, TILE)).squeeze(-2)
    place = inside.argmax(-1, keepdim=True)
    return inside.gather(-1, place), tile * TILE + place
