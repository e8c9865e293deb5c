"""Codes whose norm is fixed or bounded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.axes import Transform, TransformModule
from codeword.checks import at_least

__all__ = ["MaxNorm", "UnitNorm"]


@dataclass(frozen=True)
class UnitNorm(Transform):
    """c' = c / |c|: codes are searched and returned with length 1, for any metric.

    For rows of length 1 too, search and output, take the metric `Cosine(unit=True)`.
    """

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _UnitNorm()


class _UnitNorm(TransformModule):
    def forward(self, codes: Tensor) -> Tensor:
        return F.normalize(codes, dim=-1)


@dataclass(frozen=True)
class MaxNorm(Transform):
    """c' = c min(|c|, limit) / |c|: codes within a ball. Nothing is written to the codes, in training or eval.

    Args:
        limit: the radius, above 0.

    Source: the "l2" codebook norm of vqtorch, with its limit of 10.
    """

    limit: float = 10.0

    def __post_init__(self) -> None:
        at_least("limit of MaxNorm", self.limit, 1e-12)

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _MaxNorm(self.limit)


class _MaxNorm(TransformModule):
    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, codes: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(codes, dim=-1, keepdim=True)
        return codes * (self.limit / length.clamp_min(self.limit))
