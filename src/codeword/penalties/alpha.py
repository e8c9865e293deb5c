"""Penalties on the standard deviations that `LearnedSpread` learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from codeword.axes import Lookup, Penalty
from codeword.errors import CodewordError

__all__ = ["GrowingAlpha", "LargeAlpha", "UnitAlpha"]


class _OfAlpha(Penalty):
    """The base of the three: they use only the standard deviations."""

    name: ClassVar[str] = "alpha"
    trains_rows = False
    trains_codes = False  # of the transform alone: a codebook loss is needed all the same
    needs_alpha = True

    def of_squares(self, lookup: Lookup, target: float) -> Tensor:
        alpha = lookup.codebook.alpha()
        if alpha is None:
            raise CodewordError.of("learned standard deviations", "none", "pass transform=LearnedSpread()")
        return (alpha - target).square().sum()


@dataclass(frozen=True)
class LargeAlpha(_OfAlpha):
    """-sum_f alpha_f^2: codes are spread far apart. It has no lower bound, so keep its weight small.

    Args:
        weight: of this term in the quantizer's `loss`.

    Source: "default" of the alter_penalty of Soft-discretization (semivq), there without a gradient.
    """

    weight: float = 1e-3

    def __call__(self, lookup: Lookup) -> Tensor:
        return -self.of_squares(lookup, 0.0)


@dataclass(frozen=True)
class UnitAlpha(_OfAlpha):
    """sum_f (1 - alpha_f)^2: standard deviations are held near 1.

    Args:
        weight: of this term in the quantizer's `loss`.

    Source: "between1" of the alter_penalty of Soft-discretization (semivq), there without a gradient.
    """

    weight: float = 1e-3

    def __call__(self, lookup: Lookup) -> Tensor:
        return self.of_squares(lookup, 1.0)


@dataclass(frozen=True)
class GrowingAlpha(_OfAlpha):
    """-(i / 2) sum_f alpha_f^2 in training step i: as `LargeAlpha`, more and more strongly.

    Args:
        weight: of this term in the quantizer's `loss`.

    Source: "small" of the alter_penalty of Soft-discretization (semivq), there without a gradient and counting calls.
    """

    weight: float = 1e-6

    def __call__(self, lookup: Lookup) -> Tensor:
        transform: Any = lookup.codebook.transform
        return -0.5 * transform.step * self.of_squares(lookup, 0.0)
