"""`FSP`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from codeword import quantizers
from codeword.bounds import Cauchy, Gaussian, Laplacian, Logistic, Quantile
from codeword.compat.vector_quantize_pytorch.entry import drop_bias
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.errors import CodewordError
from codeword.functional import Purpose, replace_gradient
from codeword.functional.moments import moments_of_each
from codeword.penalties import Moments
from codeword.quantizers.assignment import Assignment, Step

__all__ = ["FSP"]

_NORMS: dict[str, tuple[Moments, ...]] = {
    "none": (),
    "var": (Moments(),),
    "kurt": (Moments(higher=True),),
    "var_tanh": (Moments(variance=0.8225),),
    "var_sigmoid": (Moments(variance=3.29),),
    "var_laplace": (Moments(variance=2.0),),
}

_CDFS: dict[str, Quantile] = {
    "tanh": Logistic(0.5),
    "sigmoid": Logistic(),
    "normal": Gaussian(),
    "laplace": Laplacian(),
    "cauchy": Cauchy(),
}


class FSP(Layer):
    """Finite scalar perturbation: training adds noise within the width of a level instead of rounding.

    Args:
        levels: how many of each number.
        dim: features of a vector; None: as many as levels.
        channel_first: whether features are on axis 1.
        projection_has_bias: whether projections have a bias.
        act_name: the distribution in which the levels are equally likely: "tanh", "sigmoid", "normal", "laplace" or
            "cauchy".
        quantize_rate: the share of numbers that training rounds nevertheless.
        need_inv_act: whether outputs are on the scale of the numbers.
        vector_norm: the moments that the loss pulls the numbers to: "none", "var", "kurt", "var_tanh", "var_sigmoid" or
            "var_laplace".

    Returns (forward):
        quantized like z, indices, the loss, a scalar, and a dictionary: `level_indices`, `norm_info` of the numbers,
        and in training `p_accept_prob`, the share of them that were moved.

    Examples:
        >>> fsp = FSP(levels=[8, 5, 5, 5], act_name="normal", quantize_rate=0.5, vector_norm="var").eval()
        >>> quantized, indices, norm_loss, info = fsp(torch.randn(1, 10, 4))
        >>> bool((quantized == fsp.indices_to_codes(indices)).all())
        True
    """

    def __init__(
        self,
        levels: Sequence[int],
        dim: int | None = None,
        channel_first: bool = False,
        projection_has_bias: bool = True,
        act_name: str = "tanh",
        quantize_rate: float = 0.0,
        need_inv_act: bool = False,
        vector_norm: str = "var_tanh",
    ) -> None:
        if vector_norm not in _NORMS:
            raise CodewordError.of("a vector_norm", repr(vector_norm), f"pass one of: {', '.join(_NORMS)}")
        width = len(levels) if dim is None else dim
        if act_name not in _CDFS:
            raise CodewordError.of("an act_name", repr(act_name), f"pass one of: {', '.join(_CDFS)}")
        bound = replace(_CDFS[act_name], inverse=need_inv_act)
        part = _Perturbed(
            width,
            tuple(levels),
            dim=1 if channel_first else -1,
            bound=bound,
            noise=1.0,
            penalties=_NORMS[vector_norm],
        )
        part.rounded_share = quantize_rate
        if not projection_has_bias:
            drop_bias(part.project_in, part.project_out)
        super().__init__(part)
        self.dim, self.channel_first, self.quantize_rate = width, channel_first, quantize_rate
        self.codebook_dim, self.codebook_size = len(levels), part.codebook_size
        self.act_name, self.need_inv_act = act_name, need_inv_act

    quantizer: _Perturbed

    @property
    def _levels(self) -> Tensor:
        return self.quantizer.grid.levels

    @property
    def _basis(self) -> Tensor:
        return torch.tensor(self.quantizer.grid.basis, dtype=torch.int64, device="cpu")

    def forward(self, z: Tensor, eps: float | None = None) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
        """See the class; with `eps`, F of a number is at most 1 - eps."""
        self.quantizer.eps = eps
        out = self.quantizer(z)
        info: dict[str, Any] = {
            "level_indices": self.indices_to_level_indices(out.indices),
            "norm_info": {name: value.detach() for name, value in self.quantizer.seen.items()},
        }
        if self.training and self.quantize_rate < 1:
            info["p_accept_prob"] = self.quantizer.accepted
        return out.quantized, out.indices, out.loss, info

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """What forward in eval returned for these indices; -1 gives zeros."""
        return self.quantizer.decode(indices)

    def indices_to_level_indices(self, indices: Tensor) -> Tensor:
        """The level of each number (..., levels)."""
        return self.quantizer.grid.split(indices)

    def level_indices_to_indices(self, level_indices: Tensor) -> Tensor:
        """The indices of levels (..., levels)."""
        return self.quantizer.grid.join(level_indices.round().long())

    def indices_to_act_value(self, indices: Tensor) -> Tensor:
        """The middles of the levels (..., levels), from -1 to 1."""
        levels = self._levels
        return (2 * self.quantizer.grid.split(indices) + 1) / levels - 1


class _Perturbed(quantizers.FSQ):
    """Moves numbers one by one, if they stay within the bounds, and has a loss on their moments."""

    rounded_share = 0.0
    eps: float | None = None
    seen: dict[str, Tensor] = {}  # noqa: RUF012
    accepted: Tensor | float = 1.0

    def _place(self, rows: Tensor) -> Tensor:
        place = super()._place(rows)
        return place if self.eps is None else place.minimum(self._last)

    def _digits(self, rows: Tensor) -> Tensor:
        digits = super()._digits(rows)
        return digits if self.eps is None else digits.minimum((self._last + 0.5).floor())

    def _passed(self, rows: Tensor) -> Tensor:
        return super()._passed(rows) if self.eps is None else self._value(self._place(rows))

    @property
    def _last(self) -> Tensor:
        """The highest place."""
        assert self.eps is not None
        return self.grid.levels.to(self.dtype) * (1 - self.eps) - 0.5

    def _evaluate(
        self, assignment: Assignment, rows: Tensor, step: Step
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        q = self._vectors(self.grid.split(assignment.indices))
        self.seen = moments_of_each(rows, step.valid.mask)
        loss = rows.new_zeros(())
        for penalty in self.penalties:
            loss = loss + penalty.weight * penalty.of_moments(self.seen)
        if not step.training:
            return q, loss, {"norm": loss}
        draws = step.key.uniform_at(Purpose.NOISE, step.valid.positions(), 2 * len(self.levels))
        move, chance = draws.to(rows.dtype).chunk(2, 1)
        place = self._place(rows)
        moved = place + move - 0.5
        within = (moved >= -0.5) & (moved <= self.grid.levels - 0.5)
        self.accepted = within.to(rows.dtype).mean()
        perturbed = self.bound.value(torch.where(within, moved, place), self.levels)
        rounded = replace_gradient(q, self._rounded(assignment, rows))
        return torch.where(chance < self.rounded_share, rounded, perturbed), loss, {"norm": loss}

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        if self.bound.linear:
            return super()._surrogate(assignment, rows, q, step)
        return rows  # outputs on the scale of the numbers: straight through
