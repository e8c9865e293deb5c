"""Norms for the vectors in front of a quantizer, as modules of their own.

For the norms of batches, groups and instances put `torch.nn.BatchNorm2d`, `GroupNorm` or `InstanceNorm2d` there; for
codes there are the transforms `UnitNorm` and `MaxNorm`, and for both `Cosine(unit=True)`. What follows, the output of
the quantizer included, lives in the normalised space.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.errors import CodewordError

__all__ = ["MaxNormFeatures", "UnitFeatures"]


class UnitFeatures(nn.Module):
    """x / |x| over the features; zeros stay.

    Args:
        dim: the axis of the features.

    Examples:
        >>> UnitFeatures()(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class MaxNormFeatures(nn.Module):
    """x min(|x|, limit) / |x| over the features: vectors within a ball.

    Args:
        limit: the radius, above 0; 10 in vqtorch.
        dim: the axis of the features.

    Examples:
        >>> MaxNormFeatures(1.0)(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """

    def __init__(self, limit: float = 10.0, dim: int = -1) -> None:
        super().__init__()
        if not limit > 0:
            raise CodewordError.of("a limit above 0", repr(limit), "pass the largest norm that is allowed")
        self.limit = limit
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=self.dim, keepdim=True)
        return x * (self.limit / length.clamp_min(self.limit))

    def extra_repr(self) -> str:
        return f"limit={self.limit}, dim={self.dim}"
