"""The search in plain torch, tiled over rows and codes so that its scratch stays within a few MiB."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.kernels.nearest.prepare import Prepared
from codeword.torch_versions import rounds_products

__all__ = ["search", "widened"]

SCRATCH_SCORES = 1 << 20  # scores held at once: 4 MiB of float32
CODES_AT_ONCE = 8192
TILE = 128  # the maximum over each of these blocks comes first: much cheaper than an argmax over all codes

Best = tuple[Tensor, Tensor]  # scores and indices (G, B, k), the largest score first


def search(rows: Tensor, prepared: Prepared, k: int) -> Tensor:
    """Indices of the k codes with the largest scores, ties to the lowest index."""
    prepared = _padded(widened(prepared))
    scores = SCRATCH_SCORES // max(rows.shape[0], 1)
    at_once = min(CODES_AT_ONCE, prepared.codes.shape[1], max(scores // TILE, 1) * TILE)
    block = max(scores // at_once, 1)
    with torch.autocast(rows.device.type, enabled=False):
        found = [_search_block(part, prepared, k, at_once) for part in rows.split(block, 1)]
    indices = found[0] if len(found) == 1 else torch.cat(found, 1)
    return indices.squeeze(-1) if k == 1 else indices


def _padded(prepared: Prepared) -> Prepared:
    """Pad to whole tiles, or to one smaller tile. Padding scores lower than a code that is not finite."""
    codes, offsets, shift = prepared
    short = -codes.shape[1] % TILE
    if codes.shape[1] <= TILE or not short:
        return prepared
    return Prepared(F.pad(codes, (0, 0, 0, short)), F.pad(offsets, (0, short), value=-torch.inf), shift)


def widened(prepared: Prepared) -> Prepared:
    """float64 if the process allows float32 products to be rounded (TF32, bfloat16).

    That switch holds for all threads, so it cannot be changed for one call.
    """
    rounded = rounds_products(prepared.codes.device)
    return Prepared(*(part.double() for part in prepared)) if rounded else prepared


def _search_block(rows: Tensor, prepared: Prepared, k: int, at_once: int) -> Tensor:
    """Indices (G, B, k)."""
    rows = rows - prepared.shift[:, None]
    best: Best | None = None
    for start in range(0, prepared.codes.shape[1], at_once):
        part = slice(start, start + at_once)
        scores = torch.baddbmm(prepared.offsets[:, None, part], rows, prepared.codes[:, part].mT)
        best = _better(best, _largest_(scores, k), start, k)
    assert best is not None
    spoilt = best[0][..., :1] - best[0][..., :1] != 0  # if a row is not finite, none of its scores is
    first = 0 if k == 1 else torch.arange(k, device=rows.device)
    return torch.where(spoilt, first, best[1])


def _better(best: Best | None, other: Best, start: int, k: int) -> Best:
    """The k best of both. The codes of `best` come first, so the sort keeps equal scores in order."""
    if best is None:
        return other
    values, order = torch.cat([best[0], other[0]], -1).sort(stable=True, dim=-1, descending=True)
    return values[..., :k], torch.cat([best[1], other[1] + start], -1).gather(-1, order[..., :k])


def _largest_(scores: Tensor, k: int) -> Best:
    """The k largest scores, the largest first, equal ones in the order of their indices. Overwrites its input."""
    found = [_first(scores)]
    while len(found) < min(k, scores.shape[-1]):
        scores.scatter_(-1, found[-1][1], -torch.inf)
        found.append(_first(scores))
    values, places = zip(*found, strict=True)
    return (torch.cat(values, -1), torch.cat(places, -1)) if k > 1 else found[0]


def _first(scores: Tensor) -> Best:
    """The largest score and its first index: the first tile that has it, then the first code in that tile."""
    if scores.shape[-1] <= TILE:
        place = scores.argmax(-1, keepdim=True)
        return scores.gather(-1, place), place
    tiles = scores.unflatten(-1, (-1, TILE))
    tile = tiles.amax(-1).argmax(-1, keepdim=True)
    inside = tiles.gather(-2, tile[..., None].expand(*tile.shape, TILE)).squeeze(-2)
    place = inside.argmax(-1, keepdim=True)
    return inside.gather(-1, place), torch.add(place, tile, alpha=TILE)
