"""The axes of a vector quantizer: the methods of each kind of part. Every part is a frozen dataclass of one of these.

A frozen dataclass is hashable and comparable, and its repr is its config.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import isabstract
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from codeword.checks import at_least, between, check_unsharded
from codeword.errors import CodewordError
from codeword.functional import Key, Valid, clone_for_backward
from codeword.functional.stacked import stacked, write_each_

if TYPE_CHECKING:
    from codeword.codebooks.codebook import Codebook

__all__ = [
    "Estimator",
    "Init",
    "Lookup",
    "Metric",
    "Penalty",
    "Revival",
    "State",
    "Transform",
    "TransformModule",
    "Update",
    "require",
]

State = dict[str, Tensor]  # the state of an update rule for each code, by name: every tensor is (..., K, ...)
Updated = tuple[Tensor, State]  # codes (..., K, D) and their state after a step


class Metric(ABC):
    """What near means."""

    # Whether `prepare` takes (G, K, D) too, and returns a tuple of tensors (G, ...).
    prepares_together = False
    uses_counts = False  # whether it needs the running counts of the codes; then `weigh` is called

    @abstractmethod
    def assign(self, rows: Tensor, prepared: Any) -> Tensor:
        """Indices (N,) int64 of the nearest codes to rows (N, D), the lowest index winning exact ties.

        Args:
            rows: (N, D).
            prepared: the result of `prepare` for the codes.
        """

    @abstractmethod
    def scores(self, rows: Tensor, codes: Tensor) -> Tensor:
        """(N, K), larger is nearer, differentiable; terms that do not depend on the code may be left out."""

    def logits(self, rows: Tensor, codes: Tensor) -> Tensor:
        """(N, K), larger is nearer, differentiable: minus the distance if the metric has one, otherwise the scores."""
        return self.scores(rows, codes)

    def prepare(self, codes: Tensor) -> Any:
        """The values that the search needs from codes (K, D); cached while the codes do not change."""
        return codes

    def weigh(self, prepared: Any, cluster_size: Tensor) -> Any:
        """Apply the running counts (..., K) of the codes to the result of `prepare`, if it `uses_counts`."""
        return prepared

    def compared(self, vectors: Tensor) -> Tensor:
        """Vectors (N, D) in the space where distance is measured."""
        return vectors

    def input(self, rows: Tensor) -> Tensor:
        """Preprocess rows (N, D) before assignment; idempotent."""
        return rows

    def output(self, codes: Tensor) -> Tensor:
        """The output vectors (N, D) of codes (N, D)."""
        return codes


@dataclass(frozen=True)
class Lookup:
    """The lookup of some rows: the input of estimators and penalties.

    Attributes:
        rows: (N, D), with gradient.
        indices: (N,) of the codes.
        q: (N, D), the codes; with gradient where the codebook learns by gradient.
        valid: which rows count.
        metric: decides which code is the nearest.
        key: the random numbers of this step.
        codebook: the codebook that the codes are from.
    """

    rows: Tensor
    indices: Tensor
    q: Tensor
    valid: Valid
    metric: Metric
    key: Key
    codebook: Codebook

    def codes(self) -> Tensor:
        """All searched codes (K, D), with gradient as in `q`: a copy, which the next step does not change."""
        searched = self.codebook.searched()
        return searched.clone() if searched is self.codebook.codes else searched


class Estimator(ABC):
    """The gradient of the lookup."""

    single_lookup_only = False  # whether it is undefined for the sum of several codes

    @property
    def trains_codes(self) -> bool:
        """Whether the codes get a gradient through it."""
        return False

    @property
    def requires_gradient_codes(self) -> bool:
        """Whether it needs codes that learn by gradient."""
        return False

    @property
    def draws(self) -> bool:
        """Whether training draws codes instead of taking the nearest."""
        return type(self).select is not Estimator.select

    @property
    def random(self) -> bool:
        """Whether it uses random numbers of the step."""
        return self.draws

    @abstractmethod
    def surrogate(self, lookup: Lookup) -> Tensor:
        """The function (N, D) of rows and their codes whose gradient replaces that of the lookup."""

    def select(self, rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, key: Key) -> Tensor:
        """The indices (N,) that a training forward takes, where it `draws` them."""
        raise NotImplementedError


class Penalty(ABC):
    """A term of the loss. `name` is its key in `losses`, `weight` its share of `loss`."""

    name: ClassVar[str]
    trains_rows = True  # whether the rows get a gradient from it
    trains_codes = False  # whether the codes do
    needs_alpha = False  # whether it uses learned standard deviations
    of_pairs = False  # a mean over pairs of row and code: it accepts (G, N, D), and is 0 without rows
    weight: float

    def __post_init__(self) -> None:
        at_least(f"weight of {type(self).__name__}", self.weight, 0)

    @abstractmethod
    def __call__(self, lookup: Lookup) -> Tensor:
        """The unweighted scalar; any finite value if no row is valid."""


class Init(ABC):
    """The initialisation of the codes."""

    @abstractmethod
    def __call__(self, rows: Tensor, valid: Valid, codebook_size: int, key: Key) -> Tensor:
        """Codes (K, D) from the rows (N, D) of the first batch; the same on every rank."""


class Revival(ABC):
    """The rule for dead codes: when a code is dead, and what replaces it.

    Leading axes of tensors batch codebooks with equal settings.
    """

    at_most: int | None = None  # how many codes one step may replace; None: one in 32, at least one

    def __post_init__(self) -> None:
        if self.at_most is not None:
            at_least(f"at_most of {type(self).__name__}", self.at_most, 1)

    def max_replaced(self, codebook_size: int) -> int:
        """The most of K codes that one step replaces."""
        return min(codebook_size, self.at_most or -(-codebook_size // 32))

    def candidates(self, codebook_size: int) -> int:
        """Number of rows that a step stores, for the next step to replace dead codes with."""
        return self.max_replaced(codebook_size)

    @abstractmethod
    def dead(self, state: State) -> Tensor:
        """Which codes (..., K) bool to replace, from the state of the update rule and of the revival."""

    def state(self, cluster_size: Tensor) -> State:
        """Its state for new codes, besides the cluster sizes (..., K)."""
        return {}

    def observe(self, state: State, counts: Tensor, total: Tensor) -> State:
        """Its state after a step of `total` rows, `counts` (..., K) of each code."""
        return {}

    def replacements(self, candidates: Tensor, codes: Tensor, state: State, key: Key) -> Tensor:
        """What replaces dead codes (..., R, D): the candidates, or vectors computed from the codes (..., K, D)."""
        return candidates


class TransformModule(nn.Module):
    """A map from stored codes to searched codes, with its parameters and running statistics."""

    writes = False  # whether a training forward changes it

    def __setattr__(self, name: str, value: Any) -> None:
        check_unsharded(name, value)  # without this method fully_shard would set its shards past the module
        super().__setattr__(name, value)

    def reset_parameters(self) -> None:
        """Reset everything except torch's own layers inside, which reset themselves."""

    def forward(self, codes: Tensor) -> Tensor:
        """The searched codes (K, D) of stored codes (K, D)."""
        return codes

    def inverse(self, searched: Tensor, codes: Tensor) -> Tensor:
        """The stored codes (K, D) that it maps to `searched` (K, D). `codes`: those stored now."""
        return searched

    def output(self, codes: Tensor) -> Tensor:
        """The output for searched codes (K, D)."""
        return codes

    def alpha(self, codes: Tensor) -> Tensor | None:
        """The learned standard deviations, where it has any."""
        return None

    def init_(self, codes: Tensor, rows: Tensor, valid: Valid) -> None:
        """Start from the first batch, given the first codes."""

    def statistics(self, rows: Tensor, valid: Valid) -> Tensor | None:
        """The statistics of this rank, flat, to be summed over ranks; None: there are none."""
        return None

    def update_(self, statistics: Tensor | None) -> None:
        """Learn from the statistics of all ranks."""

    def begin_step_(self, key: Key) -> None:
        """Draw its random numbers for the next step."""


class Transform(ABC):
    """A map that is applied to the codes before the search."""

    learns = False  # whether it has parameters that learn by gradient
    invertible = True  # whether a searched code can be set to a given vector: only then may codes be revived
    has_alpha = False  # whether it learns standard deviations

    @abstractmethod
    def build(self, codebook_size: int, features: int) -> TransformModule:
        """The module of the map, with float32 parameters."""


class Update(ABC):
    """How the codes start, learn and are revived. Leading axes of tensors batch codebooks with equal settings."""

    init: Init | None
    revival: Revival | None
    sync: bool
    transform: Transform | None = None
    decay: float | None = None
    by_gradient = False  # whether the codes are a parameter
    learns = True  # whether training forwards change anything
    uses_sums = True  # whether `update` looks at `sums`

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.decay is not None:
            between(f"decay of {name}", self.decay, 0, 1)
        for argument, axis in (("init", Init), ("revival", Revival), ("transform", Transform)):
            part = getattr(self, argument, None)
            if part is not None:
                require(f"{argument} of {name}", part, axis)

    def state(self, codes: Tensor, cluster_size: Tensor) -> State:
        """The state for new codes (..., K, D), with running counts (..., K)."""
        return {"cluster_size": cluster_size}

    @abstractmethod
    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        """New codes and state.

        Args:
            codes: (..., K, D).
            state: as returned by `state`.
            counts: (..., K), how many rows of this step chose each code, in the dtype of the codes.
            sums: (..., K, D), the sums of these rows.
            total: int64 scalar, the rows of this step.
        """

    def update_(
        self, codes: Sequence[Tensor], state: State, counts: Tensor, sums: Tensor, total: Tensor
    ) -> State:
        """As `update`, written into G codebooks (K, D); the sums may be overwritten.

        Returns:
            the new state (G, K, ...).
        """
        old = stacked(codes)
        new, state = self.update(old, state, counts, sums, total)
        if new is not old:  # an unneeded write to a parameter would invalidate backward passes
            write_each_(codes, clone_for_backward(new))
        return state


def require(argument: str, value: object, axis: type[Any]) -> None:
    """Raise unless a value is a part of the axis that an argument takes."""
    if not isinstance(value, axis):
        known = ", ".join(cls.__name__ for cls in _concrete(axis))
        raise CodewordError.of(f"a part for {argument}", repr(value), f"pass one of: {known}")


def _concrete(cls: type[Any]) -> list[type[Any]]:
    """The subclasses of a class, with those of abstract ones in their place."""
    children = [_concrete(child) if isabstract(child) else [child] for child in cls.__subclasses__()]
    return [one for found in children for one in found]
