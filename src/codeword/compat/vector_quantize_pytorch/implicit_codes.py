"""Stages with codes that a network computes: `implicit_neural_codebook` of `ResidualVQ`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from codeword.codebooks.rng import Rng
from codeword.compat.vector_quantize_pytorch.stacks import Stages
from codeword.functional import sum_of
from codeword.quantizers import QINCo, VectorQuantizer
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.composite.dropout import filled

__all__ = ["ImplicitStages"]


class ImplicitStages(Stages, QINCo):
    """`QINCo` with the network of the original, which computes all codes of a stage, and one loss for each stage.

    Args:
        quantizers: one for each stage, whose codes learn by gradient.
        features: size of a vector, where it is not that of the stages.
        dim: the axis of the features.
        dropout: options of `Residual`.
        dim_hidden: width of the blocks of a network; None: that of a code.
        depth: how many blocks.
    """

    def __init__(
        self,
        quantizers: Sequence[VectorQuantizer],
        *,
        features: int | None,
        dim: int,
        dropout: dict[str, Any],
        dim_hidden: int | None = None,
        depth: int = 4,
    ) -> None:
        most = max(child.codebook_size for child in quantizers)
        QINCo.__init__(self, quantizers, features=features, dim=dim, candidates=most)
        inner = quantizers[0].features
        self.networks = nn.ModuleList(_Network(inner, dim_hidden or inner, depth) for _ in quantizers[1:])
        for name, value in dropout.items():
            setattr(self, name, value)
        self.drops = bool(dropout)
        if dropout and self.rng is None:
            self.rng = Rng()

    def codes_of_stages(self, indices: Tensor) -> Tensor:
        """The codes (stages, ..., D) of indices (..., stages); zeros for -1."""
        codes = torch.stack(self._each_made(indices.flatten(0, -2)))
        return codes.view(len(codes), *indices.shape[:-1], -1)

    def partial_sums(self, indices: Tensor) -> list[Tensor]:
        return list(accumulate(self._each_made(indices)))

    def _each_made(self, indices: Tensor) -> list[Tensor]:
        """The codes (N, D) of each stage, with gradients to that stage's code and network alone."""
        codes: list[Tensor] = []
        total: Tensor | None = None
        for number, own in enumerate(self._split(indices)):
            index, stays = filled(own)
            codes.append(self._made(number, index, total) * stays[:, None])
            total = codes[-1].detach() if total is None else total + codes[-1].detach()
        return codes

    def _evaluate(
        self, assignment: Assignment, rows: Tensor, step: Step
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        left, losses = rows, []
        codes = self._each_made(assignment.indices)
        for child, own, made in zip(self.components, assignment.components, codes, strict=False):
            _, stays = filled(own.indices)
            valid = own.step.valid.among(stays)
            losses.append(child._losses(own, left, made, own.step._replace(valid=valid)))
            left = left - made.detach()
        return sum_of(codes).detach(), *self.pool(losses)


class _Network(nn.Module):
    """z_0 = W (s, c) + b, z_l = z_(l-1) + V_l silu(U_l z_(l-1)): the code of a plain code c and the sum s."""

    def __init__(self, features: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(2 * features, features, dtype=torch.float32)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(features, hidden, dtype=torch.float32),
                nn.SiLU(),
                nn.Linear(hidden, features, dtype=torch.float32),
            )
            for _ in range(depth)
        )

    def forward(self, index: Tensor, sums: Tensor, stage: Tensor, first: Tensor) -> Tensor:
        """As that of `QINCo`."""
        of_sum, of_code = self.proj_in.weight.chunk(2, 1)
        z: Tensor = (stage @ of_code.T)[index] + (sums @ of_sum.T + self.proj_in.bias)
        for layer in self.layers:
            z = z + layer(z)
        return z
