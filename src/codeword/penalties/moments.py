"""A penalty on the moments of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from codeword.axes import Lookup, Penalty
from codeword.checks import at_least
from codeword.functional import Valid
from codeword.functional.moments import moments_of_each

__all__ = ["Moments"]


@dataclass(frozen=True)
class Moments(Penalty):
    """Pulls each number of the input to mean 0 and a variance: the mean over numbers of m^2 + 0.7 (v - variance)^2.

    A layer with fixed levels needs such inputs: `FSQ(bound=Gaussian(), penalties=(Moments(),))` uses all levels equally
    if the numbers are normally distributed. The variances of other bounds: `Logistic` pi^2 / 3, `Logistic(0.5)` pi^2 /
    12, `Laplacian` 2, times the square of the scale.

    Args:
        weight: of this term in the quantizer's `loss`.
        variance: what the variance is pulled to.
        higher: whether 0.6 s^2 + 0.5 k^2 are added, with the skewness s and the excess kurtosis k of each number: those
            of the normal distribution.

    Moments are those of the valid rows of one rank.

    Source: Zhai et al. 2026, FSP (arXiv:2602.17133); shares of the terms those of vector-quantize-pytorch.
    """

    weight: float = 0.1
    variance: float = 1.0
    higher: bool = False
    name: ClassVar[str] = "moments"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("variance of Moments", self.variance, 0)

    def __call__(self, lookup: Lookup) -> Tensor:
        return self.of(lookup.rows, lookup.valid)

    def of(self, rows: Tensor, valid: Valid) -> Tensor:
        """The unweighted scalar of rows (N, D) of any quantizer; 0 if no row is valid."""
        return self.of_moments(moments_of_each(rows, valid.mask, self.higher)) * valid.mask.any()

    def of_moments(self, moments: dict[str, Tensor]) -> Tensor:
        """The unweighted scalar of the moments (D,) of each number."""
        value = moments["mean"].square() + 0.7 * (moments["variance"] - self.variance).square()
        if self.higher:
            value = value + 0.6 * moments["skewness"].square() + 0.5 * moments["kurtosis"].square()
        return value.mean()
