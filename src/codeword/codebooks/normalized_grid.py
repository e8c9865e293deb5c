"""A grid over numbers that are normalised to mean 0 and variance 1, and restored afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.codebooks.data_initialized import DataInitialized
from codeword.codebooks.grid import Grid
from codeword.codebooks.learner import Seen, Statistics
from codeword.functional import Key, Valid
from codeword.transforms.moments import RunningMoments

__all__ = ["NormalizedGrid"]

_RATE = 0.05  # with which a batch enters the averages
_MIN_VARIANCE = 1e-20  # of a variance that is divided by


class NormalizedGrid(DataInitialized, Grid):
    """A grid with the running mean and variance of each input number.

    They are those of the first batch, and then moving averages with a rate of 0.05. In eval, and while `frozen`, they
    do not change.

    Args:
        levels: how many levels each number has.
        device: of the counts and averages.
        options: as for `Grid`.
    """

    groups = False

    def __init__(
        self, levels: Sequence[int], *, device: torch.device | str | None = None, **options: Any
    ) -> None:
        super().__init__(levels, device=device, **options)
        self.moments = RunningMoments(len(self.sizes), _RATE).to(self.usage_count.device)
        self._register_start(device)
        self._reset_state_()

    def reset_parameters(self) -> None:
        """Reset all state."""
        super().reset_parameters()
        if hasattr(self, "moments"):
            self._reset_state_()

    def _reset_state_(self) -> None:
        self.moments.reset_parameters()
        self._set_ready(False)
        self.frozen = False

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid) -> None:
        """Take the mean and variance of a batch with a valid row; without one nothing changes."""
        if self._may_init(valid):
            self.moments.init_(rows, valid)
            self._set_ready(True)

    @property
    def writes(self) -> bool:
        return not self.frozen

    def normalize(self, rows: Tensor) -> Tensor:
        """(x - mean) / deviation."""
        return (rows - self.moments.mean.clone()) / self._deviation()

    def restore(self, rows: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        return rows * self._deviation() + self.moments.mean.clone()

    def _deviation(self) -> Tensor:
        return self.moments.variance.clamp_min(_MIN_VARIANCE).sqrt()

    @staticmethod
    @torch.no_grad()
    def observe(seen: Sequence[Seen], key: Key | None) -> Statistics:
        """The uses of the codes, and the sums of the rows and of their squares."""
        (one,) = seen
        assert isinstance(one.learner, NormalizedGrid)
        statistics = Grid.observe(seen, key)
        if one.rows is None:
            return statistics
        return statistics._replace(moments=one.learner.moments.statistics(one.rows, one.valid))

    @staticmethod
    @torch.no_grad()
    def learn_(grids: Sequence[Grid], statistics: Statistics) -> None:  # type: ignore[override]
        """Add the counts of all ranks, and move the averages."""
        Grid.learn_(grids, statistics)
        (grid,) = grids
        assert isinstance(grid, NormalizedGrid)
        if statistics.moments is not None:
            grid.moments.update_(statistics.moments.to(grid.moments.mean.dtype))
