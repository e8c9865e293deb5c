"""The axes of a vector quantizer: what a part of each kind must do. Every part is a frozen dataclass of one of these.

A frozen dataclass is hashable and comparable, and its repr is its config.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.functional import Draws, Valid
from codeword.parts.checks import check_whole

__all__ = [
    "Choice",
    "Estimator",
    "Init",
    "Metric",
    "Penalty",
    "Revival",
    "State",
    "Transform",
    "TransformModule",
    "Update",
    "require",
]

State = dict[str, Tensor]  # what a rule remembers of each code, by name: every tensor is (K, ...)


class Metric(ABC):
    """What near means."""

    @abstractmethod
    def look_up(self, rows: Tensor, codes: Tensor) -> Tensor:
        """Indices (N,) int64 of the nearest codes (K, D) to rows (N, D), the lowest index winning ties."""

    @abstractmethod
    def scores(self, rows: Tensor, codes: Tensor) -> Tensor:
        """(N, K), larger is nearer, differentiable; what does not depend on the code may be left out."""

    def compared(self, vectors: Tensor) -> Tensor:
        """Rows or codes (N, D) as they are compared: what distances are between."""
        return vectors

    def prepare(self, rows: Tensor) -> Tensor:
        """The rows (N, D) that are quantized instead; doing it twice is the same as once."""
        return rows

    def output(self, codes: Tensor) -> Tensor:
        """The vectors (N, D) that stand for codes (N, D)."""
        return codes


@dataclass(frozen=True)
class Choice:
    """What a forward has chosen: all that estimators and penalties may look at.

    Attributes:
        rows: (N, D), with gradient.
        indices: (N,) of the codes chosen.
        q: (N, D), the codes chosen; with gradient where the codebook learns by gradient.
        valid: which rows count.
        metric: what near means.
        draws: the random numbers of this step.
        read: gives all codes (K, D) that were searched, with gradient as in `q`.
        alpha: gives the learned standard deviations (K, D or 1, D) of the codebook's transform, if it has any.
    """

    rows: Tensor
    indices: Tensor
    q: Tensor
    valid: Valid
    metric: Metric
    draws: Draws
    read: Callable[[], Tensor]
    alpha: Callable[[], Tensor | None]

    def codes(self) -> Tensor:
        """All codes (K, D) that were searched."""
        return self.read()

    def positions(self) -> Tensor:
        """The position (N,) of each row among the valid rows of all ranks: what its draws are numbered by."""
        return positions(self.valid)


def positions(valid: Valid) -> Tensor:
    """The position (N,) of each valid row among those of all ranks; of another row, that of the one before."""
    return (valid.numbers() - 1).clamp_min(0)


class Estimator(ABC):
    """How gradients pass the look-up."""

    alone = False  # whether it is about one look-up, and means nothing for the sum of several codes

    @property
    def trains_codes(self) -> bool:
        """Whether the codes get a gradient through it."""
        return False

    @property
    def wasted_without(self) -> bool:
        """Whether it makes no sense where codes do not learn by gradient."""
        return False

    @abstractmethod
    def surrogate(self, choice: Choice) -> Tensor:
        """The function (N, D) of rows and their codes whose gradient stands in for that of the look-up."""

    def select(self, rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, draws: Draws) -> Tensor:
        """The indices (N,) that a training forward takes."""
        return metric.look_up(rows, codes)


class Penalty(ABC):
    """A term of the loss. `name` is its key in `losses`, `weight` its share of `loss`."""

    name: ClassVar[str]
    trains_rows = True  # whether the rows get a gradient from it
    trains_codes = False  # whether the codes do
    needs_alpha = False  # whether it is about learned standard deviations
    weight: float

    @abstractmethod
    def __call__(self, choice: Choice) -> Tensor:
        """The unweighted scalar; finite, whatever it is, for a batch without valid rows."""


class Init(ABC):
    """Where the first codes come from."""

    @abstractmethod
    def __call__(self, rows: Tensor, valid: Valid, codebook_size: int, draws: Draws) -> Tensor:
        """Codes (K, D) from the rows (N, D) of the first batch; the same on every rank."""


class Revival(ABC):
    """When a code is dead, and where it is moved to."""

    @abstractmethod
    def candidates(self, codebook_size: int) -> int:
        """How many rows are drawn each step to stand by for dead codes: as many as can be replaced in one, if rows."""

    @abstractmethod
    def dead(self, state: State) -> Tensor:
        """Which codes (K,) bool to replace, from what rule and revival remember of them."""

    def state(self, codebook_size: int) -> State:
        """What it remembers of each code besides the running counts, at the start."""
        return {}

    def observe(self, state: State, hits: Tensor) -> State:
        """What it remembers after a step with hits (K,)."""
        return state

    def places(self, candidates: Tensor, codes: Tensor, state: State, draws: Draws) -> Tensor:
        """Where dead codes go, as many as can be replaced: rows that stand by, or what is made of the codes (K, D)."""
        return candidates


class TransformModule(nn.Module):
    """A map from the codes that are kept to those that are searched, with its parameters and running statistics."""

    def __setattr__(self, name: str, value: Any) -> None:
        check_whole(name, value)  # fully_shard sets its pieces past a module without this method
        super().__setattr__(name, value)

    def inverse(self, places: Tensor, codes: Tensor) -> Tensor:
        """The kept codes (K, D) that are mapped to places (K, D), where there are any; `codes` are those kept now."""
        return places

    def output(self, codes: Tensor) -> Tensor:
        """What is returned for searched codes (K, D)."""
        return codes

    def alpha(self, codes: Tensor) -> Tensor | None:
        """The learned standard deviations, where it has any."""
        return None

    def init_(self, codes: Tensor, rows: Tensor, valid: Valid) -> None:
        """Start from the first batch, given the first codes."""

    def statistics(self, rows: Tensor, valid: Valid) -> Tensor:
        """What this rank saw, flat, ready to be summed over ranks."""
        return rows.new_zeros(0)

    def update_(self, statistics: Tensor) -> None:
        """Learn from the statistics of all ranks."""

    def begin_(self, draws: Draws) -> None:
        """Draw what it needs for the step that comes."""


class Transform(ABC):
    """What is done to the codes before they are searched."""

    learns = False  # whether it has parameters that learn by gradient
    invertible = True  # whether a code can be moved to a given place: only then may codes be revived
    has_alpha = False  # whether it learns standard deviations

    @abstractmethod
    def build(self, codebook_size: int, features: int) -> TransformModule:
        """The module that does it."""


class Update(ABC):
    """How the codes start, learn and are revived."""

    init: Init | None
    revival: Revival | None
    sync: bool
    transform: Transform | None = None
    by_gradient = False  # whether the codes are a parameter
    learns = True  # whether the codes themselves learn anything
    uses_sums = True  # whether `update` looks at `hit_sums`
    gathers_first = False  # whether the output is made of the codes as they were before the update

    @abstractmethod
    def state(self, codes: Tensor, counts: Tensor) -> State:
        """What is remembered of codes (K, D) that start now, with running counts (K,)."""

    @abstractmethod
    def update(self, codes: Tensor, state: State, hits: Tensor, hit_sums: Tensor) -> tuple[Tensor, State]:
        """New codes (K, D) and state from the old ones and a step's hits (K,) and sums of rows (K, D)."""


def require(argument: str, value: object, axis: type[Any]) -> None:
    """Raise unless a value is a part of the axis that an argument takes."""
    if not isinstance(value, axis):
        known = ", ".join(cls.__name__ for cls in axis.__subclasses__())
        raise CodewordError.of(f"a part for {argument}", repr(value), f"pass one of: {known}")
