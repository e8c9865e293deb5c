"""The base class of learners, the state that training steps change: codebooks, and grids with usage counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from codeword.functional import Key, Valid

__all__ = ["Learner", "Seen", "Statistics"]


class Seen(NamedTuple):
    """The input of a training step for one learner.

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
    """The statistics of a step for a group of G equal learners. Sums over ranks equal those of one process on all rows.

    Attributes:
        total: int64 scalar, the valid rows of all ranks.
        counts: (G, K) int64, how many rows chose each code.
        sums: (G, K, D), the sums of these rows; None where the update rule needs none.
        candidates: (G, R, D), rows that may replace dead codes; missing ones have very large numbers; None: there is no
            revival.
        moments: flat, the statistics for the transform of the codes (G = 1).
        weighted_counts: (G, K), the sums of the weights of the rows that chose each code; None: those are the counts.
    """

    total: Tensor
    counts: Tensor
    sums: Tensor | None = None
    candidates: Tensor | None = None
    moments: Tensor | None = None
    weighted_counts: Tensor | None = None

    def of(self, number: int) -> Statistics:
        """Those of one learner of the group."""
        own = slice(number, number + 1)
        names = ("counts", "sums", "candidates", "weighted_counts")
        return self._replace(
            **{name: value[own] for name in names if (value := getattr(self, name)) is not None}
        )

    @property
    def learned_counts(self) -> Tensor:
        """The counts (G, K) that the codes learn from."""
        return self.counts if self.weighted_counts is None else self.weighted_counts


class Learner(nn.Module):
    """A module that training forwards change.

    Equal learners of a model are updated as one problem, with a leading axis G.
    """

    group_key: str  # learners with the same key differ only in their numbers
    groups = True  # whether it may learn in a group

    @property
    def writes(self) -> bool:
        """Whether a training forward affects the result of the next one."""
        return False

    def group_state(self) -> str:
        """Further state that must be equal in a group, and may change."""
        return ""

    @staticmethod
    def begin_step_(learners: Sequence[Learner], key: Key) -> None:
        """Prepare for a training step: replace the codes that the last step found dead."""

    @staticmethod
    def prepare_(learners: Sequence[Learner]) -> None:
        """Prepare for the search of a step, after `begin_step_` or in eval."""

    @staticmethod
    @abstractmethod
    def observe(seen: Sequence[Seen], key: Key) -> Statistics:
        """The statistics of this rank for equal learners, to be summed over ranks."""

    @staticmethod
    @abstractmethod
    def learn_(learners: Sequence[Learner], statistics: Statistics) -> None:
        """Learn from the statistics of all ranks."""
