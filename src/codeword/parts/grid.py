"""Codes that are not kept but numbered: all combinations of a few levels in each of some places."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.functional import Usage, Valid, usage_of_hits

__all__ = ["Grid"]

_COUNTED_WHOLE = 2**20  # codes; the use of larger grids is counted for each place by itself


class Grid(nn.Module):
    """The numbering of a grid of codes, and how they were used.

    Args:
        levels: how many levels each place has, together at most 2^63 codes unless `joined` is False.
        joined: whether the digits of a code are one index; otherwise they are an index each.
        ascending: whether the first place is the least significant one, not the most.

    Examples:
        >>> grid = Grid((3, 2))
        >>> grid.join(torch.tensor([[2, 1]])), grid.split(torch.tensor([5]))
        (tensor([5]), tensor([[2, 1]]))
    """

    def __init__(self, levels: Sequence[int], *, joined: bool = True, ascending: bool = False) -> None:
        super().__init__()
        self.size = math.prod(levels)
        self.joined = joined
        self.ascending = ascending
        if joined and self.size > 2**63:
            raise CodewordError.of(
                "at most 2^63 codes", f"2^{math.log2(self.size):.1f}", "split the features with Grouped"
            )
        self.whole = joined and self.size <= _COUNTED_WHOLE
        shape = (self.size,) if self.whole else (len(levels), max(levels))
        self.register_buffer("levels", torch.tensor(list(levels)))
        self.register_buffer("hits", torch.zeros(shape, dtype=torch.int64))

    levels: Tensor
    hits: Tensor

    def join(self, digits: Tensor) -> Tensor:
        """The index of digits (N, places): (N,), or the digits themselves."""
        return (digits * self._places()).sum(-1) if self.joined else digits

    def split(self, indices: Tensor) -> Tensor:
        """The digits (N, places) of indices."""
        if not self.joined:
            return indices
        # `//`, not div(rounding_mode="floor"): torch writes that as a division of float32 in ONNX.
        return indices[..., None] // self._places() % self.levels

    def count(self, indices: Tensor, valid: Valid) -> Tensor:
        """The uses of each code, or of each level, by the valid rows of this rank: flat float32."""
        weights = valid.mask.float()
        counts = torch.zeros(self.hits.shape, device=weights.device)
        if self.whole:
            return counts.scatter_add_(0, indices, weights)
        return counts.scatter_add_(1, self.split(indices).T, weights.expand(len(counts), -1)).flatten()

    @torch.no_grad()
    def update_(self, counts: Tensor) -> None:
        """Add the counts of all ranks."""
        self.hits.add_(counts.view(self.hits.shape).long())

    def usage(self) -> Usage:
        """The use of the codes; for over 2^20 of them that of the levels, fields of shape (places,)."""
        used = usage_of_hits(self.hits)
        return used if self.whole else used._replace(dead=self.levels - used.used)

    def reset_usage(self) -> None:
        """Start counting anew."""
        self.hits.zero_()

    def _places(self) -> Tensor:
        """What a digit of each place is worth."""
        levels = self.levels if self.ascending else self.levels.flip(0)
        places = torch.cat([torch.ones_like(levels[:1]), levels[:-1].cumprod(0)])
        return places if self.ascending else places.flip(0)
