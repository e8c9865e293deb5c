"""How finite scalar quantization brings any number within its levels.

Each bound maps z to a place, measured in levels from 0 to L - 1; the nearest level is the digit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Bound", "Sigmoid", "Symmetric", "Tanh"]

_MARGIN = 1e-3  # of the paper: outermost levels are reached short of infinity


class Bound(ABC):
    """What brings numbers within L levels."""

    @abstractmethod
    def place(self, rows: Tensor, levels: Tensor) -> Tensor:
        """Where rows (N, D) stand between levels (D,), differentiable; rounded, from 0 to L - 1."""

    @abstractmethod
    def value(self, place: Tensor, levels: Tensor) -> Tensor:
        """The numbers, within -1 to 1, that places stand for."""

    def digits(self, rows: Tensor, levels: Tensor) -> Tensor:
        """The nearest levels, int64."""
        place = self.place(rows, levels).round().long()
        return torch.minimum(place.clamp_min(0), levels - 1)


@dataclass(frozen=True)
class Tanh(Bound):
    """round(tanh(z + s) h - o) / floor(L / 2), h = (L - 1)(1 - 0.001) / 2, o = 1/2 for even L, s = tan(o / h).

    The default. Levels of even L are not symmetric: -L/2 to L/2 - 1, so that 0 is one of them.

    Source: Mentzer et al. 2023, FSQ, appendix A.1 (arXiv:2309.15505).
    """

    def place(self, rows: Tensor, levels: Tensor) -> Tensor:
        return _shifted(rows, levels, steepness=1.0)

    def value(self, place: Tensor, levels: Tensor) -> Tensor:
        middle = levels // 2
        return (place - middle) / middle


@dataclass(frozen=True)
class Sigmoid(Bound):
    """As Tanh with 2 sigmoid(1.6 z) - 1 in its stead: normal inputs then fill the levels about evenly.

    Source: iFSQ (arXiv:2601.17124).
    """

    def place(self, rows: Tensor, levels: Tensor) -> Tensor:
        return _shifted(rows, levels, steepness=0.8)  # 2 sigmoid(1.6 z) - 1 = tanh(0.8 z)

    def value(self, place: Tensor, levels: Tensor) -> Tensor:
        middle = levels // 2
        return (place - middle) / middle


@dataclass(frozen=True)
class Symmetric(Bound):
    """2 / (L - 1) floor((L - 1)(tanh z + 1) / 2 + 1/2) - 1: levels symmetric about 0, which is one for odd L only.

    Source: Parker et al. 2024 (arXiv:2411.19842), with the noise that `FSQ(noise=)` adds.
    """

    def place(self, rows: Tensor, levels: Tensor) -> Tensor:
        return (rows.tanh() + 1) * (levels - 1) / 2

    def value(self, place: Tensor, levels: Tensor) -> Tensor:
        return 2 * place / (levels - 1) - 1

    def digits(self, rows: Tensor, levels: Tensor) -> Tensor:
        place = (self.place(rows, levels) + 0.5).floor().long()
        return torch.minimum(place, levels - 1)


def _shifted(rows: Tensor, levels: Tensor, steepness: float) -> Tensor:
    half = (levels - 1) * (1 - _MARGIN) / 2
    offset = (1 - levels % 2) / 2
    shift = (offset / half).tan() / steepness
    return (steepness * (rows + shift)).tanh() * half - offset + levels // 2
