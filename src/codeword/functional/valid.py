"""The valid rows of a batch, and their positions among the valid rows of all ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from codeword import distributed
from codeword.constants import numbers
from codeword.torch_versions import inside_transform

__all__ = [
    "Valid",
    "all_in_range",
    "all_known",
    "every_row",
    "in_range",
    "known_number",
    "narrowed",
    "none_known",
]

_LONGEST = {dtype: torch.finfo(dtype).max ** (1 / 3) for dtype in (torch.float32, torch.float64)}  # of a row


def in_range(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Which rows (N,) can be computed with in `dtype`: no NaN, and no longer than the cube root of its largest number.

    That is 7e12 in float32. The squares of as many such rows still have a finite sum, so that no mean, no distance
    and no codebook overflows; one row of 1e30 would leave NaN in all of them for good.

    Examples:
        >>> in_range(torch.tensor([[3.0], [1e30], [torch.nan]]), torch.float32)
        tensor([ True, False, False])
    """
    # One pass, whatever the precision; of isfinite() and all(), each is 20 times slower.
    lengths = torch.linalg.vector_norm(rows.detach(), dim=-1, dtype=_widest(rows.dtype, dtype))
    return lengths <= _LONGEST[dtype]


def all_in_range(rows: Tensor, dtype: torch.dtype) -> bool:
    """Whether all rows are known to be `in_range`: on a CPU, which looks at them together, in half the time.

    Examples:
        >>> all_in_range(torch.tensor([[3.0], [1.0]]), torch.float32)
        True
    """
    rows = rows.detach()
    if not _may_look(rows):
        return False
    # Half leaves room for rounding.
    length = torch.linalg.vector_norm(rows, dtype=_widest(rows.dtype, dtype))
    return length.item() < _LONGEST[dtype] / 2


def all_known(mask: Tensor) -> bool:
    """Whether a mask is known to be True everywhere, so that nothing need be written where it is not. False: not known.

    It is known on a CPU, where a look costs nothing. Another device would have to be waited for, and a program that is
    traced must not depend on the numbers that it is traced with.

    Examples:
        >>> all_known(torch.tensor([True, True])), all_known(torch.tensor([True, False]))
        (True, False)
    """
    return _may_look(mask) and bool(mask.all())


def none_known(mask: Tensor) -> bool:
    """Whether a mask is known to be False everywhere, as `all_known` knows that it is True.

    Examples:
        >>> none_known(torch.tensor([False, False])), none_known(torch.tensor([True, False]))
        (True, False)
    """
    return _may_look(mask) and not mask.any()


def known_number(number: Tensor) -> int | None:
    """The number of an integer scalar, as `all_known` knows a mask; None: not known.

    Examples:
        >>> known_number(torch.tensor(3))
        3
    """
    return int(number) if _may_look(number) else None


def every_row(mask: Tensor | None, rows: Tensor) -> Tensor:
    """A mask (N,); None: True for each of the rows (N, ...); where each row has places (N, P), whether one is valid.

    Examples:
        >>> every_row(None, torch.zeros(2, 3))
        tensor([True, True])
    """
    if mask is None:
        return torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    return mask if mask.ndim == 1 else mask.any(1)


def _widest(dtype: torch.dtype, other: torch.dtype) -> torch.dtype:
    return torch.float64 if torch.float64 in (dtype, other) else other


def _may_look(tensor: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return type(tensor) is Tensor and tensor.device.type == "cpu" and not inside_transform()


class Valid(NamedTuple):
    """Rows stay where they are; this weighs them and finds them by their position among the valid ones.

    Attributes:
        mask: (N,) bool, True for a valid row.
        total: int64 scalar, the valid rows on all ranks; None where nothing is learned.
        offset: int64 scalar, the valid rows on earlier ranks; None: no other rank holds rows.
        before: int64 scalar, the valid rows of earlier batches that are learned from together with this one; None: 0.
        row_weights: (N,) how much each row counts where codes learn from sums of rows, or a function of rows (N, D) and
            their codes (N, D) that says so; None: all alike.

    Examples:
        >>> valid = Valid.of(torch.tensor([True, False, True]))
        >>> valid.take(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1]))
        tensor([[3.]])
    """

    mask: Tensor
    total: Tensor
    offset: Tensor | None = None
    before: Tensor | None = None
    row_weights: Tensor | Callable[[Tensor, Tensor], Tensor] | None = None

    @classmethod
    def of(
        cls, mask: Tensor, *, sync: bool = False, before: Tensor | None = None, signature: int = 0
    ) -> Valid:
        """Count this rank's valid rows and, with `sync`, every other rank's: one collective.

        Args:
            mask: (N,) bool.
            sync: whether other ranks hold rows too.
            before: as the attribute.
            signature: of the caller; ranks of which it is not 0 compare theirs.

        Raises:
            CodewordError: signatures that differ.
        """
        count = mask.sum()
        if not (sync and distributed.is_shared()):
            return cls(mask, count, None, before)
        counts = distributed.gather_scalars(count, signature)
        return cls(mask, counts.sum(), counts[: distributed.rank()].sum(), before)

    @property
    def shared(self) -> bool:
        """Whether other ranks hold rows too."""
        return self.offset is not None

    def repeated(self, times: int) -> Valid:
        """For rows that each stand `times` in a row: `times` as many rows, in the same order on all ranks."""
        if times == 1:
            return self
        mask = self.mask[:, None].expand(-1, times).reshape(-1)
        own = self.row_weights
        if isinstance(own, Tensor):
            own = own[:, None].expand(-1, times).reshape(-1)
        total, offset, before = (None if count is None else count * times for count in self[1:4])
        return Valid(mask, total, offset, before, own)  # type: ignore[arg-type]

    def among(self, mask: Tensor) -> Valid:
        """The valid rows among some, to weigh losses; what is drawn for a row stays the same."""
        return self._replace(mask=self.mask & mask)

    def weights(self, dtype: torch.dtype) -> Tensor:
        """The weights (N,) of a mean over the valid rows of this rank; all 0 when there are none."""
        ones = self.mask.to(dtype)
        return ones / ones.sum().clamp_min(1)

    def running_counts(self) -> Tensor:
        """How many valid rows (N,) there are up to each row, with those of earlier ranks and batches."""
        ends = self.mask.cumsum(0)
        for shift in (self.offset, self.before):
            ends = ends if shift is None else ends + shift
        return ends

    def positions(self) -> Tensor:
        """The position (N,) of each valid row among those of all ranks and earlier batches: the number of its draws.

        An invalid row gets the position of the valid row before it, or 0.
        """
        return (self.running_counts() - 1).clamp_min(0)

    def max_total(self) -> int:
        """An upper bound of `total` as a number, equal on all ranks. With several ranks it waits for the device."""
        return int(self.total) if self.shared else self.mask.shape[0]

    def take(self, rows: Tensor, positions: Tensor) -> Tensor:
        """The rows at positions among all valid ones; zeros for what another rank holds.

        Args:
            rows: (N, D), or (G, N, D).
            positions: (R,), or (G, R): 0 <= position < total.

        Returns:
            (R, D), or (G, R, D).
        """
        if not rows.shape[-2]:
            return rows.new_zeros((*positions.shape, rows.shape[-1]))
        local = positions if self.offset is None else positions - self.offset
        index = local
        if not all_known(self.mask):
            index = torch.searchsorted(self.mask.cumsum(0), local, right=True)
        index = index.clamp(0, rows.shape[-2] - 1)
        taken = rows[index] if rows.ndim == 2 else rows[numbers(len(rows), rows.device)[:, None], index]
        if self.offset is None:
            return taken
        owned = (local >= 0) & (local < self.mask.sum())
        return torch.where(owned[..., None], taken, 0.0)

    def take_from_all(self, rows: Tensor, positions: Tensor) -> Tensor:
        """As `take`, with what the other ranks hold: one collective."""
        taken = self.take(rows, positions)
        return distributed.sum_(taken) if self.shared else taken


def narrowed(valids: Sequence[Valid], masks: Sequence[Tensor]) -> list[Valid]:
    """The valid rows among those of a mask (N,) each, counted anew on all ranks: one collective.

    Examples:
        >>> (few,) = narrowed([Valid.of(torch.tensor([True, True, False]))], [torch.tensor([True, False, False])])
        >>> few.mask, few.total
        (tensor([ True, False, False]), tensor(1))
    """
    among = [valid.among(mask) for valid, mask in zip(valids, masks, strict=True)]
    if among[0].total is None:  # nothing is learned
        return among
    counts = torch.stack([valid.mask.sum() for valid in among])
    if not among[0].shared:
        return [valid._replace(total=total) for valid, total in zip(among, counts, strict=True)]
    every = distributed.gather(counts)
    return [
        valid._replace(total=of_ranks.sum(), offset=of_ranks[: distributed.rank()].sum())
        for valid, of_ranks in zip(among, every.unbind(1), strict=True)
    ]
