"""Codes that are numbered, not stored: all combinations of levels.

A place is one number of a code; its level is a digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.codebooks.learner import Learner, Seen, Statistics
from codeword.errors import CodewordError
from codeword.functional import Key, Usage, constant, usage_of_counts
from codeword.functional.stacked import stacked
from codeword.torch_versions import is_exporting

__all__ = ["Grid"]

_COUNTED_WHOLE = 2**20  # codes; in larger grids the use is counted for each place


class Grid(Learner):
    """The numbering of a grid of codes, and their usage counts.

    Args:
        levels: how many levels each place has, together at most 2^63 codes unless `joined` is False.
        joined: whether the digits of a code are one index; otherwise they are an index each.
        ascending: whether the first place is the least significant one, not the most.
        device: of the counts.

    Examples:
        >>> grid = Grid((3, 2))
        >>> grid.join(torch.tensor([[2, 1]])), grid.split(torch.tensor([5]))
        (tensor([5]), tensor([[2, 1]]))
    """

    usage_count: Tensor

    def __init__(
        self,
        levels: Sequence[int],
        *,
        joined: bool = True,
        ascending: bool = False,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.sizes = tuple(levels)
        self.size = math.prod(levels)
        self.joined = joined
        if joined and self.size > 2**63:
            raise CodewordError.of(
                "at most 2^63 codes",
                f"2^{math.log2(self.size):.1f}",
                "split the features with Grouped, or pass joined=False to FSQ",
            )
        basis = [math.prod(self.sizes[:place]) for place in range(len(levels))]
        if not ascending:
            basis = [math.prod(self.sizes[place + 1 :]) for place in range(len(levels))]
        self.basis = tuple(basis)
        self._shifts = tuple(each.bit_length() - 1 for each in basis)  # of bits
        self.counts_codes = joined and self.size <= _COUNTED_WHOLE
        self.group_key = f"grid of {self.sizes}"
        shape = (self.size,) if self.counts_codes else (len(levels), max(levels))
        self.register_buffer("usage_count", torch.empty(shape, dtype=torch.int64, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start counting anew."""
        self.usage_count.zero_()

    @property
    def levels(self) -> Tensor:
        """How many levels each place has, int64 (places,)."""
        return constant(self.sizes, self.usage_count.device)

    def join(self, digits: Tensor) -> Tensor:
        """The index of digits (N, places), whole numbers of any dtype: (N,), or the digits themselves; int64."""
        if not self.joined:
            return digits.long()
        digits, basis = digits.long(), constant(self.basis, digits.device)
        # One operator fewer; no other device has a product of int64, and an exported program may be moved to one.
        if digits.device.type == "cpu" and not is_exporting():
            return digits @ basis
        return (digits * basis).sum(-1)

    def split(self, indices: Tensor) -> Tensor:
        """The digits (N, places) of indices."""
        if not self.joined:
            return indices
        if max(self.sizes) == 2 and not is_exporting():  # ONNX shifts no int64
            return indices[..., None] >> constant(self._shifts, indices.device) & 1
        # `//`, not div(rounding_mode="floor"): torch writes that as a division of float32 in ONNX.
        return indices[..., None] // constant(self.basis, indices.device) % self.levels

    @staticmethod
    @torch.no_grad()
    def observe(seen: Sequence[Seen], key: Key | None) -> Statistics:
        """The uses of each code, or of each level in each place."""
        counts = []
        for grid, _, indices, valid, _ in seen:
            assert isinstance(grid, Grid)
            weights = valid.mask.long()
            own = torch.zeros_like(grid.usage_count)
            if grid.counts_codes:
                own.scatter_add_(0, indices, weights)
            else:
                own.scatter_add_(1, grid.split(indices).T, weights.expand(len(own), -1))
            counts.append(own.flatten())
        return Statistics(seen[0].valid.total, stacked(counts))

    @staticmethod
    @torch.no_grad()
    def learn_(grids: Sequence[Grid], statistics: Statistics) -> None:  # type: ignore[override]
        """Add the counts of all ranks."""
        for grid, counts in zip(grids, statistics.counts, strict=True):
            grid.usage_count.add_(counts.view(grid.usage_count.shape))

    def usage(self) -> Usage:
        """The use of the codes; for over 2^20 of them that of the levels, fields of shape (places,)."""
        used = usage_of_counts(self.usage_count)
        return used if self.counts_codes else used._replace(dead=self.levels - used.used)

    def reset_usage(self) -> None:
        """Start counting anew."""
        self.usage_count.zero_()
