"""Scale and shift of all codes: learned, or from the moments of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codeword.axes import Transform, TransformModule
from codeword.checks import at_least, between
from codeword.transforms.moments import FollowsRows, variance

__all__ = ["Affine", "RunningAffine"]


@dataclass(frozen=True)
class Affine(Transform):
    """c' = (1 + rate s) c + rate b with s and b learned, shared by the codes of a group, and 0 at the start.

    One gradient moves all codes, so codes that no row chose follow the encoder too.

    Args:
        rate: how much faster scale and bias learn than a plain parameter; 2 to 10 in the paper's code.
        groups: how many groups of neighbouring codes have a scale and bias of their own.

    Source: Huh et al. 2023 (arXiv:2305.08842), section 3.1.
    """

    rate: float = 2.0
    groups: int = 1
    learns = True

    def __post_init__(self) -> None:
        at_least("rate of Affine", self.rate, 0)
        at_least("groups of Affine", self.groups, 1)

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _Affine(self, codebook_size, features)


class _Affine(TransformModule):
    def __init__(self, rule: Affine, codebook_size: int, features: int) -> None:
        super().__init__()
        self.rate = rule.rate
        groups = min(rule.groups, codebook_size)
        self.scale = nn.Parameter(torch.empty(groups, features, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty_like(self.scale))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.scale)
        nn.init.zeros_(self.bias)

    def forward(self, codes: Tensor) -> Tensor:
        scale, bias = self._of_each(codes)
        return scale * codes + bias

    def inverse(self, searched: Tensor, codes: Tensor) -> Tensor:
        scale, bias = self._of_each(codes)
        return (searched - bias) / torch.where(scale.abs() > 1e-6, scale, 1e-6)

    def _of_each(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and bias (K, D) of each code."""
        group = torch.arange(len(codes), device=codes.device) * len(self.scale) // len(codes)
        return 1 + self.rate * self.scale[group], self.rate * self.bias[group]


@dataclass(frozen=True)
class RunningAffine(Transform):
    """c' = (sigma_x / sigma_c) (c - mu_c) + mu_x: codes get the mean and standard deviation of recent rows.

    mu_x and sigma_x are moving averages over the rows of all ranks; mu_c and sigma_c are those of the current codes.
    Codes follow an encoder that drifts or grows without learning. If rows are not normalised, an estimate of the spread
    that is too large can increase itself; then lower the momentum.

    Args:
        momentum: share of a new batch in the running averages, 0 to 1.

    Source: Huh et al. 2023 (arXiv:2305.08842), section 3.1, with the momentum of its code.
    """

    momentum: float = 0.1

    def __post_init__(self) -> None:
        between("momentum of RunningAffine", self.momentum, 0, 1)

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _RunningAffine(features, self.momentum)


class _RunningAffine(FollowsRows):
    def forward(self, codes: Tensor) -> Tensor:
        mean, scale = self._mean_and_scale(codes)
        return scale * (codes - mean) + self.rows.mean

    def inverse(self, searched: Tensor, codes: Tensor) -> Tensor:
        mean, scale = self._mean_and_scale(codes)
        return (searched - self.rows.mean) / scale.clamp_min(1e-20) + mean

    def _mean_and_scale(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        codes = codes.detach()
        return codes.mean(0), (self.rows.variance / variance(codes)).sqrt()
