"""The base class of what learns in a training step: codebooks, and grids with usage counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from codeword.functional import Key, Valid

__all__ = ["Learner", "Seen", "Statistics"]


class Seen(NamedTuple):
    """What a training step saw of one learner.

    Attributes:
        learner: the codebook or grid.
        rows: (N, D) that were quantized; None: it learns from the indices alone.
        indices: (N,) that were chosen; (N, places) for a grid whose digits are indices of their own.
        valid: which rows count.
        repeats: rows per row of the outermost quantizer; equal on all ranks, unlike the number of rows.
    """

    learner: Learner
    rows: Tensor | None
    indices: Tensor
    valid: Valid
    repeats: int = 1


class Statistics(NamedTuple):
    """What a group of G equal learners learns from in a step. Sums over ranks are those of one process on all rows.

    Attributes:
        total: int64 scalar, the valid rows of all ranks.
        counts: (G, K) int64, how many rows chose each code.
        sums: (G, K, D), the sums of these rows; None where the update rule needs none.
        candidates: (G, R, D), rows that may replace dead codes, far out where there are too few; None: nothing revives.
        moments: flat, what the transform of the codes learns from (G = 1).
        loads: (G, K), the sums of the importance of the rows that chose each code; None: those are the counts.
    """

    total: Tensor
    counts: Tensor
    sums: Tensor | None = None
    candidates: Tensor | None = None
    moments: Tensor | None = None
    loads: Tensor | None = None

    def of(self, number: int) -> Statistics:
        """Those of one learner of the group."""
        own = slice(number, number + 1)
        sums, candidates, loads = (
            part if part is None else part[own] for part in (self.sums, self.candidates, self.loads)
        )
        return self._replace(counts=self.counts[own], sums=sums, candidates=candidates, loads=loads)


class Learner(nn.Module):
    """A module that training forwards write to. Equal ones of a tree learn as one problem, with a leading axis G."""

    group_key: str  # learners with the same one are equal but for their numbers
    groups = True  # whether it may learn in a group

    @property
    def writes(self) -> bool:
        """Whether a training forward changes what the next one gives."""
        return False

    def group_state(self) -> str:
        """What else must be the same in a group, and may change."""
        return ""

    @staticmethod
    @abstractmethod
    def begin_(learners: Sequence[Learner], key: Key) -> None:
        """Prepare for a training step: replace what the last step showed to be dead."""

    @staticmethod
    def prepare_(learners: Sequence[Learner]) -> None:
        """Prepare for the search of a step, after `begin_` or in eval."""

    @staticmethod
    @abstractmethod
    def observe(seen: Sequence[Seen], key: Key) -> Statistics:
        """The statistics of what this rank saw of equal learners, ready to be summed over ranks."""

    @staticmethod
    @abstractmethod
    def learn_(learners: Sequence[Learner], statistics: Statistics) -> None:
        """Learn from the statistics of all ranks."""
