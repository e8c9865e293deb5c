"""Which rows of a batch count, and where each stands among the valid rows of all ranks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from codeword import distributed

__all__ = ["Valid", "in_range"]


def in_range(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Which rows (N,) can be computed with in `dtype`: no NaN, and no longer than the cube root of its largest number.

    That is 7e12 in float32. The squares of as many such rows still have a finite sum, so that no mean, no distance
    and no codebook overflows; one row of 1e30 would leave NaN in all of them for good.

    Examples:
        >>> in_range(torch.tensor([[3.0], [1e30], [torch.nan]]), torch.float32)
        tensor([ True, False, False])
    """
    # One pass, whatever the precision; of isfinite() and all(), each is 20 times slower.
    wide = torch.promote_types(rows.dtype, dtype)
    return torch.linalg.vector_norm(rows.detach(), dim=-1, dtype=wide) <= torch.finfo(dtype).max ** (1 / 3)


class Valid(NamedTuple):
    """Rows stay where they are; this weighs them and finds them by their position among the valid ones.

    Attributes:
        mask: (N,) bool, True for a valid row.
        ends: (N,) int64, the number of valid rows up to and including each row.
        held: int64 scalar, the valid rows on this rank.
        start: int64 scalar, the valid rows on earlier ranks.
        total: int64 scalar, the valid rows on all ranks.
        shared: whether other ranks hold rows too.
        before: int64 scalar, the valid rows of earlier batches that are learned from together with this one.

    Examples:
        >>> valid = Valid.of(torch.tensor([True, False, True]))
        >>> valid.take(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1]))
        tensor([[3.]])
    """

    mask: Tensor
    ends: Tensor
    held: Tensor
    start: Tensor
    total: Tensor
    shared: bool
    before: Tensor

    @classmethod
    def of(
        cls, mask: Tensor, *, sync: bool = False, before: Tensor | None = None, signature: int = 0
    ) -> Valid:
        """Count this rank's valid rows and, with `sync`, every other rank's: one collective.

        Args:
            before: see above; None: 0.
            signature: of who asks; ranks of which it is not 0 compare theirs.

        Raises:
            CodewordError: signatures that differ.
        """
        ends = mask.cumsum(0)
        held = mask.sum()
        before = torch.zeros_like(held) if before is None else before
        if not (sync and distributed.is_shared()):
            return cls(mask, ends, held, torch.zeros_like(held), held, False, before)
        counts = distributed.gather_scalars(held, signature)
        start = counts[: distributed.rank()].sum()
        return cls(mask, ends, held, start, counts.sum(), True, before)

    def numbers(self) -> Tensor:
        """The number (N,) of each row: how many valid rows there are up to it, of all ranks and earlier batches."""
        return self.before + self.start + self.ends

    def bound(self) -> int:
        """An upper bound of `total` as a number, equal on all ranks. Shared, it waits for the device."""
        return int(self.total) if self.shared else self.mask.shape[0]

    def take(self, rows: Tensor, positions: Tensor) -> Tensor:
        """The rows (R, D) at positions (R,) among all valid ones; zeros for what another rank holds."""
        if not rows.shape[0]:
            return rows.new_zeros(positions.shape[0], rows.shape[1])
        local = positions - self.start
        owned = (local >= 0) & (local < self.held)
        index = torch.searchsorted(self.ends, local + 1).clamp(0, rows.shape[0] - 1)
        return torch.where(owned[:, None], rows[index], 0.0)

    def collect(self, rows: Tensor, positions: Tensor) -> Tensor:
        """As `take`, with what the other ranks hold: one collective."""
        taken = self.take(rows, positions)
        return distributed.sum_(taken) if self.shared else taken
