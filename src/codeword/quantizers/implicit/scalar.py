"""Finite scalar quantization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Stream, Valid, substitute
from codeword.parts.axes import positions, require
from codeword.parts.bounds import Bound, Tanh
from codeword.parts.chance import Chance
from codeword.quantizers.implicit.base import Implicit
from codeword.quantizers.statistics import Kept

__all__ = ["FSQ"]


class FSQ(Implicit):
    """Each number is bounded and rounded to one of its levels: no codebook, no loss, nothing that could collapse.

    A vector of d numbers with levels L_1 ... L_d has one of L_1 L_2 ... L_d codes, within -1 to 1. The gradient
    passes the rounding, not the bound. Good from about 2^10 codes on, with five levels or more each; the paper's:
    2^8 (8, 6, 5), 2^10 (8, 5, 5, 5), 2^12 (7, 5, 5, 5, 5), 2^14 (8, 8, 8, 6, 5), 2^16 (8, 8, 8, 5, 5, 5).

    Args:
        features: size of a vector; where it is not the number of levels, learned projections lead in and out.
        levels: how many levels each number has, at least 2.
        dim: the axis of the features.
        bound: how numbers are brought within the levels: Tanh(), Sigmoid(), Symmetric() or Logit().
        noise: the share of vectors that in training are moved by uniform noise of one level's width instead of
            being rounded; their indices are those of the rounded vectors.

    `indices` number the codes with the first number least significant, as the paper's code does.

    Raises:
        CodewordError: a level below 2, or more than 2^63 codes.

    Source: Mentzer et al. 2023 (arXiv:2309.15505).

    Examples:
        >>> fsq = FSQ(4, (8, 5, 5, 5))
        >>> fsq.codebook_size
        1000
        >>> out = fsq(torch.randn(2, 10, 4))
        >>> bool((fsq.decode(out.indices) == out.quantized).all())
        True
    """

    spec_name = "fsq"
    size_names = ("levels",)
    size_separator = "-"

    def __init__(
        self,
        features: int,
        levels: Sequence[int],
        *,
        dim: int = -1,
        bound: Bound = Tanh(),
        noise: float = 0.0,
    ) -> None:
        if not levels or any(not isinstance(level, int) or level < 2 for level in levels):
            raise CodewordError.of("levels of at least 2", repr(tuple(levels)), "pass them like (8, 5, 5, 5)")
        require("bound", bound, Bound)
        if not 0 <= noise <= 1:
            raise CodewordError.of("noise from 0 to 1", repr(noise), "pass the share of vectors")
        super().__init__(features, levels, dim=dim, ascending=True)
        self.levels = tuple(levels)
        self.bound = bound
        self.noise = noise
        self.chance = Chance() if noise else None

    def options(self) -> dict[str, Any]:
        return {"levels": self.levels, "bound": self.bound, "noise": self.noise}

    @property
    def ready(self) -> bool:
        return self.chance is None or self.chance.ready

    def init_(self, rows: Tensor, valid: Valid) -> None:
        if self.chance is not None:
            self.chance.init_(valid)

    def digits(self, rows: Tensor) -> Tensor:
        return self.bound.digits(rows, self.grid.levels)

    def vectors(self, digits: Tensor) -> Tensor:
        return self.bound.value(digits.to(self.dtype), self.grid.levels)

    def update_(self, statistics: Tensor) -> None:
        super().update_(statistics)
        if self.chance is not None:
            self.chance.advance_()

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        place = self.bound.place(
            rows, self.grid.levels
        )  # rounded first: a value need not be linear in its place
        rounded = substitute(self.grid.split(indices).to(place.dtype), place)
        return self.bound.value(rounded, self.grid.levels)

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        if self.chance is None or not self.training:
            return super().settle(rows, indices, valid, kept)
        draws = self.chance.draws().uniform_at(Stream.NOISE, positions(valid), 1 + len(self.levels))
        place = self.bound.place(rows, self.grid.levels)
        moved = self.bound.value(place + draws[:, 1:] - 0.5, self.grid.levels)
        rounded = substitute(self.gather(indices), self.surrogate(rows, indices, rows, valid))
        return torch.where(draws[:, :1] < self.noise, moved, rounded), rows.new_zeros(()), {}
