"""Finite scalar quantization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.axes import require
from codeword.bounds import Bound, Tanh
from codeword.codebooks.normalized_grid import NormalizedGrid
from codeword.codebooks.rng import Rng
from codeword.errors import CodewordError
from codeword.functional import Purpose, replace_gradient, sum_of
from codeword.penalties import Moments
from codeword.quantizers.assignment import Assignment, Evaluated, Losses, Step
from codeword.quantizers.implicit.base import Implicit

__all__ = ["FSQ"]


class FSQ(Implicit):
    """Each number is bounded and rounded to one of its levels: no codebook, no loss, nothing that could collapse.

    A vector of d numbers with levels L_1 ... L_d has one of L_1 L_2 ... L_d codes, within -1 to 1. The gradient
    passes the rounding unchanged (straight through) and is that of the bound. Good from about 2^10 codes on, with five
    levels or more each; the paper's:
    2^8 (8, 6, 5), 2^10 (8, 5, 5, 5), 2^12 (7, 5, 5, 5, 5), 2^14 (8, 8, 8, 6, 5), 2^16 (8, 8, 8, 5, 5, 5).

    Args:
        features: size of a vector; if it is not the number of levels, learned projections are added before and after.
        levels: how many levels each number has, at least 2.
        dim: the axis of the features.
        bound: the map of numbers to the range of the levels: Tanh(), Sigmoid(), Symmetric(), Logit() or Clamp().
        noise: the share of vectors that in training are moved by uniform noise of one level's width instead of
            being rounded; their indices are those of the rounded vectors.
        normalize: whether numbers are normalised to mean 0 and variance 1 before the bound, and restored afterwards: n
            = (x - m) / s, q = m + s FSQ(n), with the running mean and deviation of each number, which are constants of
            the model. Stages of it, `rvq4x(fsq8-5-5-5,normalize=true)`, are residual FSQ with an invertible
            normalisation of each residual.
        joined: whether the levels of a vector make one index. False: one index for each number, `indices` (...,
            numbers). This allows more than 2^63 codes; their use is counted for each number.
        penalties: terms of `loss` that depend only on the vectors: `Moments`.
        device: of parameters and buffers.
        dtype: of the projections.

    `indices` number the codes with the first number least significant, as the paper's code does.

    Raises:
        CodewordError: a level below 2, or more than 2^63 codes in one index.

    Source: Mentzer et al. 2023 (arXiv:2309.15505); `normalize` Zhu et al. 2025, RFSQ (arXiv:2508.15860).

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
        normalize: bool = False,
        joined: bool = True,
        penalties: Sequence[Moments] = (),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not levels or any(not isinstance(level, int) or level < 2 for level in levels):
            raise CodewordError.of("levels of at least 2", repr(tuple(levels)), "pass them like (8, 5, 5, 5)")
        require("bound", bound, Bound)
        if not 0 <= noise <= 1:
            raise CodewordError.of("noise from 0 to 1", repr(noise), "pass the share of vectors")
        super().__init__(features, levels, dim=dim, joined=joined, ascending=True, device=device, dtype=dtype)
        self.levels = tuple(levels)
        self.bound = bound
        self.noise = noise
        self.normalize = normalize
        self.joined = joined
        self.penalties = tuple(penalties)
        for penalty in self.penalties:
            if not isinstance(penalty, Moments):
                expected = "penalties that are about the vectors alone"
                raise CodewordError.of(expected, repr(penalty), "pass Moments(), or none")
        if normalize:
            self.grid = NormalizedGrid(levels, joined=joined, ascending=True, device=device)
        self.rng = Rng(device) if noise else None

    @property
    def random(self) -> bool:
        return self.noise > 0

    @property
    def ready(self) -> bool:
        return self.grid.ready if isinstance(self.grid, NormalizedGrid) else True

    def _init(self, rows: Tensor, step: Step) -> None:
        if isinstance(self.grid, NormalizedGrid):
            self.grid.init_(rows, step.valid)

    def _place(self, rows: Tensor) -> Tensor:
        return self.bound.place(self._normalized(rows), self.levels)

    def _value(self, place: Tensor) -> Tensor:
        return self._restored(self.bound.value(place, self.levels))

    def _passed(self, rows: Tensor) -> Tensor:
        return self._restored(self.bound.surrogate(self._normalized(rows), self.levels))

    def _normalized(self, rows: Tensor) -> Tensor:
        return self.grid.normalize(rows) if isinstance(self.grid, NormalizedGrid) else rows

    def _restored(self, values: Tensor) -> Tensor:
        return self.grid.restore(values) if isinstance(self.grid, NormalizedGrid) else values

    def _digits(self, rows: Tensor) -> Tensor:
        return self.bound.digits(self._normalized(rows), self.levels)

    def _vectors(self, digits: Tensor) -> Tensor:
        return self._value(digits.to(self.dtype))

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        q, loss, losses = super()._evaluate(assignment, rows, step)
        if not (self.noise and step.training):
            return q, loss, losses
        some = int(self.noise < 1)  # not all vectors: a number more decides for each
        draws = step.key.uniform_at(Purpose.NOISE, step.valid.positions(), some + len(self.levels))
        moved = self._value(self._place(rows) + draws[:, some:] - 0.5)
        if not some:
            return moved, loss, losses
        moves = draws[:, :1] < self.noise
        if self.bound.linear:  # the same slope everywhere
            return replace_gradient(torch.where(moves, moved.detach(), q), moved), loss, losses
        return torch.where(moves, moved, replace_gradient(q, self._rounded(assignment, rows))), loss, losses

    def _losses(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Losses:
        if not self.penalties:
            return super()._losses(assignment, rows, q, step)
        losses = {penalty.name: penalty.of(rows, step.valid) for penalty in self.penalties}
        return sum_of([penalty.weight * losses[penalty.name] for penalty in self.penalties]), losses

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        return q if self.noise and step.training else self._rounded(assignment, rows)

    def _rounded(self, assignment: Assignment, rows: Tensor) -> Tensor:
        """A function of the rows with the gradient of the levels: that of the bound."""
        if self.bound.linear:
            return self._passed(rows)
        place = self._place(rows)  # its slope is that at the level
        return self._value(replace_gradient(self.grid.split(assignment.indices).to(place.dtype), place))
