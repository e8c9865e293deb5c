"""The bounds of finite scalar quantization: maps of any number to the range of its levels.

Each bound maps z to a place, measured in levels from 0 to L - 1; the nearest level is the digit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.checks import at_least, between
from codeword.constants import constant
from codeword.errors import CodewordError

Levels = tuple[int, ...]  # how many levels each number has

__all__ = [
    "Bound",
    "Cauchy",
    "Cell",
    "Clamp",
    "Gaussian",
    "Laplacian",
    "Logistic",
    "Logit",
    "Quantile",
    "Sigmoid",
    "Symmetric",
    "Tanh",
]

_MARGIN = 1e-3  # of the paper: finite numbers reach the outermost levels


class Bound(ABC):
    """A map of numbers to the range of L levels."""

    linear = True  # whether a value is linear in its place

    @abstractmethod
    def place(self, rows: Tensor, levels: Levels) -> Tensor:
        """The positions of rows (N, D) between the levels, differentiable; rounded, they are 0 to L - 1."""

    @abstractmethod
    def value(self, place: Tensor, levels: Levels) -> Tensor:
        """The values of places: within -1 to 1, unless the bound defines another range."""

    def digits(self, rows: Tensor, levels: Levels) -> Tensor:
        """The nearest levels: whole numbers, in the dtype of the rows."""
        return torch.minimum(self.place(rows, levels).round().clamp_min(0), _steps(rows, levels))

    def surrogate(self, rows: Tensor, levels: Levels) -> Tensor:
        """A function of the rows with the gradient of `value(place(rows))`."""
        return self.value(self.place(rows, levels), levels)


class _Centred(Bound):
    """round(squash(z + s) h - o) / floor(L / 2), h = (L - 1)(1 - m) / 2, o = 1/2 for even L."""

    margin: float = _MARGIN

    def place(self, rows: Tensor, levels: Levels) -> Tensor:
        middle = _numbers(rows, (level // 2 - o for level, o in zip(levels, _offsets(levels), strict=True)))
        half = _numbers(rows, self._halves(levels))
        return torch.addcmul(middle, self._squashed(rows, levels), half)

    def value(self, place: Tensor, levels: Levels) -> Tensor:
        middle = _numbers(place, (level // 2 for level in levels))
        return (place - middle) / middle

    def digits(self, rows: Tensor, levels: Levels) -> Tensor:
        if -self.margin * (max(levels) - 1) < 0.9:  # rounding leads to no level beyond the outermost ones
            return self.place(rows, levels).round()
        return super().digits(rows, levels)

    def surrogate(self, rows: Tensor, levels: Levels) -> Tensor:
        sizes = zip(self._halves(levels), levels, strict=True)
        return self._squashed(rows, levels) * _numbers(rows, (half / (level // 2) for half, level in sizes))

    @abstractmethod
    def _squashed(self, rows: Tensor, levels: Levels) -> Tensor:
        """Numbers from -1 to 1."""

    def _shifted(self, rows: Tensor, levels: Levels, shift: Callable[[float], float]) -> Tensor:
        """z + s, s = shift(o / h)."""
        sizes = zip(_offsets(levels), self._halves(levels), strict=True)
        return rows + _numbers(rows, (shift(offset / half) for offset, half in sizes))

    def _halves(self, levels: Levels) -> list[float]:
        return [(level - 1) * (1 - self.margin) / 2 for level in levels]


@dataclass(frozen=True)
class Tanh(_Centred):
    """round(tanh(z + s) h - o) / floor(L / 2), h = (L - 1)(1 - m) / 2, o = 1/2 for even L, s = tan(o / h).

    The default. Levels of even L are not symmetric: -L/2 to L/2 - 1, so that 0 is one of them.

    Args:
        margin: m, how far the outermost places are inside the outermost levels; negative: outside.
        exact: s = atanh(o / h) instead, the inverse of the tanh, so that z = 0 is exactly the level 0. With a margin
            of -0.001 this is what vector-quantize-pytorch computes. The margin must be below 0 then.

    Source: Mentzer et al. 2023, FSQ, appendix A.1 (arXiv:2309.15505).
    """

    margin: float = _MARGIN
    exact: bool = False

    def __post_init__(self) -> None:
        between("margin of Tanh", self.margin, -1, 0 if self.exact else 1)

    def _squashed(self, rows: Tensor, levels: Levels) -> Tensor:
        return self._shifted(rows, levels, math.atanh if self.exact else math.tan).tanh()


@dataclass(frozen=True)
class Sigmoid(_Centred):
    """As Tanh with 2 sigmoid(1.6 z) - 1 in its stead, which spreads standard normal inputs evenly between the bounds.

    The outermost levels are half as wide as the others, and get half as many of them.

    Source: iFSQ (arXiv:2601.17124).
    """

    def _squashed(self, rows: Tensor, levels: Levels) -> Tensor:
        shifted = self._shifted(rows, levels, lambda share: math.tan(share) / 0.8)
        return (0.8 * shifted).tanh()  # 2 sigmoid(1.6 z) - 1 = tanh(0.8 z)


@dataclass(frozen=True)
class Symmetric(Bound):
    """2 / (L - 1) floor((L - 1)(tanh z + 1) / 2 + 1/2) - 1: levels symmetric about 0, which is one for odd L only.

    Source: Parker et al. 2024 (arXiv:2411.19842), with the noise that `FSQ(noise=)` adds.
    """

    def place(self, rows: Tensor, levels: Levels) -> Tensor:
        return (rows.tanh() + 1) * _half_steps(rows, levels)

    def value(self, place: Tensor, levels: Levels) -> Tensor:
        return place / _half_steps(place, levels) - 1

    def digits(self, rows: Tensor, levels: Levels) -> Tensor:
        return torch.minimum((self.place(rows, levels) + 0.5).floor(), _steps(rows, levels))


@dataclass(frozen=True)
class Clamp(_Centred):
    """As Tanh with clamp(z + s, -1, 1) in its stead, s = o / h: numbers within the bounds pass as they are.

    The gradient is constant within the bounds and 0 beyond them (that of tanh is small there, but not 0). Use it if the
    encoder already keeps its numbers within -1 to 1.

    Args:
        margin: m, as for Tanh. Below 0 the outermost places go beyond the outermost levels, which are as wide as
            all others then.

    Source: the bound of FSQ (arXiv:2309.15505) with the hard clamp of vector-quantize-pytorch (`bound_hard_clamp`).
    """

    margin: float = -1e-3

    def __post_init__(self) -> None:
        between("margin of Clamp", self.margin, -1, 1)

    def _squashed(self, rows: Tensor, levels: Levels) -> Tensor:
        return self._shifted(rows, levels, lambda share: share).clamp(-1, 1)


@dataclass(frozen=True)
class Cell(Bound):
    """Symmetric levels between hard bounds, shrunk `stage` times to the size of one of their cells: L^-stage (-1 to 1).

    For numbers that are already within the bounds. Cells are 2 / (L - 1) wide, so a stage with its own cells covers the
    whole residual of the stage before.

    Args:
        stage: 0 for -1 to 1.
    """

    stage: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.stage, int) or self.stage < 0:
            raise CodewordError.of(
                "stage of Cell of at least 0", repr(self.stage), "pass how often the levels shrink"
            )

    def place(self, rows: Tensor, levels: Levels) -> Tensor:
        if self.stage:
            rows = rows / self._size(rows, levels)
        return (rows.clamp(-1, 1) + 1) * _half_steps(rows, levels)

    def value(self, place: Tensor, levels: Levels) -> Tensor:
        value = place / _half_steps(place, levels) - 1
        return value * self._size(place, levels) if self.stage else value

    def digits(self, rows: Tensor, levels: Levels) -> Tensor:
        return (self.place(rows, levels) + 0.5).floor()

    def _size(self, like: Tensor, levels: Levels) -> Tensor:
        return _numbers(like, (float(level) ** -self.stage for level in levels))


@dataclass(frozen=True)
class Logit(Bound):
    """Levels even in probability, returned as logits: log(p / (1 - p)), p = l / (L - 1) within eps to 1 - eps.

    A number z becomes the level round(L sigmoid(z) - 1/2), so that all levels take an equal share of sigmoid(z).
    Outputs have the scale of the inputs, not -1 to 1: with an eps of 0.1 they are within -2.2 to 2.2. All levels below
    eps have the same value, and so have all levels above 1 - eps; each keeps its index. With the default this happens
    from 11 levels on.

    Args:
        eps: 0 < eps < 0.5.

    Source: FSQ of pytorch-tools.
    """

    eps: float = 0.1
    linear = False

    def __post_init__(self) -> None:
        between("eps of Logit", self.eps, 0, 0.5)

    def place(self, rows: Tensor, levels: Levels) -> Tensor:
        return self._share(rows) * _steps(rows, levels)

    def value(self, place: Tensor, levels: Levels) -> Tensor:
        return (place / _steps(place, levels)).clamp(self.eps, 1 - self.eps).logit()

    def digits(self, rows: Tensor, levels: Levels) -> Tensor:
        return (self._share(rows) * _numbers(rows, levels) - 0.5).round()

    @staticmethod
    def _share(rows: Tensor) -> Tensor:
        return rows.sigmoid() * (1 - 1e-7)  # below 1, as there: L is no level


@dataclass(frozen=True)
class Quantile(Bound):
    """Levels with equal probability under a distribution F: level floor(L F(z / scale)).

    The value of level l is sqrt(3) (2 (l + 1/2) / L - 1). Numbers with the distribution F use all levels equally, and
    their values have mean 0 and variance 1. With `inverse` the value is scale F^-1((l + 1/2) / L), in the scale of the
    input.

    `FSQ(bound=Gaussian(), noise=1.0)` is finite scalar perturbation: training moves every vector within the width of a
    level instead of rounding it. The subclasses define F: `Logistic`, `Gaussian`, `Laplacian`, `Cauchy`.

    Args:
        scale: above 0.
        inverse: see above.

    Source: Zhai et al. 2026, FSP (arXiv:2602.17133).
    """

    scale: float = 1.0
    inverse: bool = False

    def __post_init__(self) -> None:
        at_least(f"scale of {type(self).__name__}", self.scale, 1e-12)

    @property
    def linear(self) -> bool:  # type: ignore[override]
        return not self.inverse

    @staticmethod
    @abstractmethod
    def cdf(numbers: Tensor, /) -> Tensor:
        """F, the cumulative distribution function."""

    @staticmethod
    @abstractmethod
    def icdf(share: Tensor, /) -> Tensor:
        """The inverse of F."""

    def place(self, rows: Tensor, levels: Levels) -> Tensor:
        return self._share(rows) * _numbers(rows, levels) - 0.5

    def value(self, place: Tensor, levels: Levels) -> Tensor:
        share = (place + 0.5) / _numbers(place, levels)
        if self.inverse:
            return self.scale * self.icdf(share.clamp(1e-6, 1 - 1e-6))
        return math.sqrt(3) * (2 * share - 1)

    def surrogate(self, rows: Tensor, levels: Levels) -> Tensor:
        return super().surrogate(rows, levels) if self.inverse else self._share(rows) * math.sqrt(12)

    def _share(self, rows: Tensor) -> Tensor:
        return self.cdf(rows if self.scale == 1 else rows / self.scale)

    def digits(self, rows: Tensor, levels: Levels) -> Tensor:
        digits = (self.place(rows, levels) + 0.5).floor()
        return torch.minimum(digits.clamp_min(0), _steps(rows, levels))


@dataclass(frozen=True)
class Logistic(Quantile):
    """`Quantile` of F(z) = 1 / (1 + exp -z). With a scale of 1/2 it is (1 + tanh z) / 2."""

    cdf = staticmethod(torch.sigmoid)
    icdf = staticmethod(torch.logit)


@dataclass(frozen=True)
class Gaussian(Quantile):
    """`Quantile` of the normal distribution."""

    cdf = staticmethod(torch.special.ndtr)
    icdf = staticmethod(torch.special.ndtri)


@dataclass(frozen=True)
class Laplacian(Quantile):
    """`Quantile` of the density exp(-|z|) / 2."""

    @staticmethod
    def cdf(numbers: Tensor, /) -> Tensor:
        tail = torch.where(numbers < 0, numbers, -numbers).exp() / 2  # not |z|, whose slope at 0 is 0
        return torch.where(numbers < 0, tail, 1 - tail)

    @staticmethod
    def icdf(share: Tensor, /) -> Tensor:
        tail = (2 * torch.where(share < 0.5, share, 1 - share)).log()
        return torch.where(share < 0.5, tail, -tail)


@dataclass(frozen=True)
class Cauchy(Quantile):
    """`Quantile` of F(z) = 1/2 + arctan(z) / pi."""

    @staticmethod
    def cdf(numbers: Tensor, /) -> Tensor:
        return 0.5 + numbers.atan() / math.pi

    @staticmethod
    def icdf(share: Tensor, /) -> Tensor:
        return (math.pi * (share - 0.5)).tan()


def _offsets(levels: Levels) -> list[float]:
    """o: half a level, where 0 would be between two of them."""
    return [(1 - level % 2) / 2 for level in levels]


def _steps(like: Tensor, levels: Levels) -> Tensor:
    return _numbers(like, (level - 1 for level in levels))


def _half_steps(like: Tensor, levels: Levels) -> Tensor:
    return _numbers(like, ((level - 1) / 2 for level in levels))


def _numbers(like: Tensor, numbers: Iterable[float]) -> Tensor:
    """One number for each column, on the device and in the dtype of a tensor."""
    return constant(tuple(numbers), like.device, like.dtype)
