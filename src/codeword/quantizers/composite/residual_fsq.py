"""Residual finite scalar quantization, with a finer grid at each stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.bounds import Cell
from codeword.errors import CodewordError
from codeword.functional import constant, sum_of
from codeword.quantizers.assignment import Assignment, Evaluated, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_size
from codeword.quantizers.composite.residual import Residual
from codeword.quantizers.implicit.scalar import FSQ

__all__ = ["ResidualFSQ"]


class ResidualFSQ(Residual):
    """Stages of FSQ, each with the grid of the first shrunk to one cell of the stage before.

    All stages of a plain `Residual` of FSQ span -1 to 1, so from the second stage on nearly all numbers of a vector get
    the middle level. Here stage m = 0, 1, ... spans -L^-m to L^-m, in each number with its own L:

        x' = c tanh(x / c), c = L / (L - 1)        what the first stage and half a cell around it cover
        q_m = L^-m s(L^m (x' - q_0 - ... - q_(m-1)))
        s(z) = 2 / (L - 1) floor((L - 1)(clamp(z, -1, 1) + 1) / 2 + 1/2) - 1

    The error of M stages is at most L^(1-M) / (L - 1) in each number of x'. The encoder gets the gradient of x'.

    Args:
        features: size of a vector; if it is not the number of levels, learned projections are added.
        levels: how many levels each number has, at least 2, the same in all stages.
        stages: how many.
        dim: the axis of the features.
        dropout: the share of items for which training keeps only the first n stages; as for `Residual`.
        minimum_stages: see `dropout`.
        dropout_multiple: the number of stages that stay is rounded up to a multiple of this, or to all.
        device: of parameters and buffers.
        dtype: of the projections.

    `indices` are (..., stages). There is no loss. A call accepts `stages`.

    Raises:
        CodewordError: a level below 2, more than 2^63 codes a stage, or no stages.

    Source: in this form vector-quantize-pytorch's ResidualFSQ, for which the same indices come out; with other scales
    Parker et al. 2024 (arXiv:2411.19842), section 3.2.

    Examples:
        >>> import torch
        >>> rfsq = ResidualFSQ(4, (8, 5, 5, 5), 3)
        >>> out = rfsq(torch.randn(2, 10, 4))
        >>> out.indices.shape, rfsq.spec
        (torch.Size([2, 10, 3]), 'rfsq8-5-5-5,stages=3')
        >>> bool((rfsq.decode(out.indices) == out.quantized).all())
        True
    """

    @staticmethod
    def of(*arguments: Any, **options: Any) -> Residual:
        """Not needed: the constructor builds the stages itself."""
        expected = "ResidualFSQ(features, levels, stages)"
        raise CodewordError.of(expected, "ResidualFSQ.of", "call the class: it builds equal stages itself")

    spec_name = "rfsq"
    size_names = ("levels",)
    size_separator = "-"
    call_options = ("stages",)
    spec = Quantizer.spec

    def __init__(
        self,
        features: int,
        levels: Sequence[int],
        stages: int,
        *,
        dim: int = -1,
        dropout: float = 0.0,
        minimum_stages: int = 1,
        dropout_multiple: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_size("stages", stages)
        parts = [FSQ(len(levels), levels, bound=Cell(stage), device=device) for stage in range(stages)]
        super().__init__(
            parts,
            features=features,
            dim=dim,
            dropout=dropout,
            minimum_stages=minimum_stages,
            dropout_multiple=dropout_multiple,
            device=device,
            dtype=dtype,
        )
        self.levels, self.stages = tuple(levels), stages

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        return super()._assign(self._squashed(rows), step)

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        if self.random and step.training:
            return super()._evaluate(assignment, self._squashed(rows), step)
        stages = zip(self.components, assignment.components, strict=False)  # none has a loss
        return sum_of([stage._codes_of(own) for stage, own in stages]), rows.new_zeros(()), {}

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        return self._squashed(rows)

    def _squashed(self, rows: Tensor) -> Tensor:
        reach = constant(tuple(level / (level - 1) for level in self.levels), rows.device, rows.dtype)
        return (rows / reach).tanh() * reach
