"""Base of quantizers without a codebook: every number of a vector becomes one of a few levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.codebooks.grid import Grid
from codeword.codebooks.learner import Seen
from codeword.errors import CodewordError
from codeword.functional import Usage
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_indices

__all__ = ["Implicit", "check_digits"]


class Implicit(Quantizer):
    """The codes are the points of a grid. They are computed, never stored; only their usage counts are stored.

    Args:
        features: size of a vector; if it is not `width`, learned projections are added.
        levels: how many levels each number of a code has.
        dim: the axis of the features.
        width: size of a code; None: the number of `levels`.
        joined: whether the digits of a code are one index.
        ascending: whether the first number is the least significant one in an index.
        device: of parameters and buffers.
        dtype: of the projections.
    """

    def __init__(
        self,
        features: int,
        levels: Sequence[int],
        *,
        dim: int,
        width: int | None = None,
        joined: bool = True,
        ascending: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        width = len(levels) if width is None else width
        code_features = None if width == features else width
        super().__init__(features, dim=dim, code_features=code_features, device=device, dtype=dtype)
        self.grid = Grid(levels, joined=joined, ascending=ascending, device=device)
        self.codebook_size = self.grid.size
        self.index_shape = () if joined else (width,)
        self._sizes = (self.codebook_size,) if joined else tuple(levels)

    def _digits(self, rows: Tensor) -> Tensor:
        """The levels (N, D) of rows (N, D): whole numbers, of any dtype."""
        raise NotImplementedError

    def _vectors(self, digits: Tensor) -> Tensor:
        """The rows (N, D) that levels (N, D) stand for."""
        raise NotImplementedError

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self._sizes

    @property
    def device(self) -> torch.device:
        return self.grid.usage_count.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the projections, float32 or wider."""
        wide = self.project_in is not None and self.project_in.weight.dtype == torch.float64
        return torch.float64 if wide else torch.float32

    @property
    def trained_by_output(self) -> bool:
        return self.project_in is not None

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        digits = self._digits(rows)
        moves = step.training and self.grid.writes  # what digits stand for, before they are embedded
        embedded = self._vectors(digits) if step.needs_codes and not moves else None
        return Assignment(self.grid.join(digits), rows, step, embedded)

    def _embed(self, indices: Tensor) -> Tensor:
        return self._vectors(self.grid.split(indices))

    def _seen(self, assignment: Assignment) -> list[Seen]:
        step, rows = assignment.step, assignment.rows if self.grid.writes else None
        return [Seen(self.grid, rows, assignment.indices, step.valid, step.repeats)]

    def _check_indices(self, indices: Tensor) -> None:
        if self.grid.joined:
            check_indices(indices, self.codebook_size)
        else:
            check_digits(indices, len(self._sizes), self._sizes)

    def usage(self) -> Usage:
        """The use of the codes; for more than 2^20 codes, and for bits, the use of the levels: fields (numbers,)."""
        return self.grid.usage()

    def reset_usage(self) -> None:
        self.grid.reset_usage()


def check_digits(digits: Tensor, width: int, levels: Sequence[int] = (2,)) -> None:
    """Raise unless these are digits (..., width) below their levels, -1 for all or none of a vector."""
    check_indices(digits, max(levels))
    if digits.ndim < 1 or digits.shape[-1] != width:
        raise CodewordError.of(
            f"{'bits' if max(levels) == 2 else 'digits'} (..., {width})",
            f"shape {tuple(digits.shape)}",
            "pass what encode returned",
        )
    if len(set(levels)) > 1:
        for place, level in enumerate(levels):
            check_indices(digits[..., place], level)
    masked = digits < 0
    if not torch.compiler.is_compiling() and bool((masked.any(-1) != masked.all(-1)).any()):
        raise CodewordError.of(
            "-1 for all digits of a vector or for none", "-1 for some", "mask whole vectors"
        )
