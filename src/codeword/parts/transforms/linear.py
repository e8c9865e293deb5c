"""All codes through one linear map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codeword.functional import Valid
from codeword.parts.axes import Transform, TransformModule
from codeword.parts.transforms.moments import mean_and_covariance

__all__ = ["Linear"]

_RIDGE = 1e-4  # of the mean variance


@dataclass(frozen=True)
class Linear(Transform):
    """c' = W c + b with W and b learned. Over frozen normal codes this is SimVQ.

    Every gradient moves all codes, so none is left behind. The start is matched to the first batch: W and b give the
    codes the mean and covariance of its rows (SimVQ starts at a random W without b, and so cannot find data that is
    off-centre or badly scaled). One linear map cannot follow clusters.

    Args:
        matched: whether the start is matched; otherwise W = I and b = 0.

    Source: Zhu et al. 2024 (arXiv:2411.02038); the matched start is our own.
    """

    matched: bool = True
    learns = True
    invertible = False

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _Linear(self, features)


class _Linear(TransformModule):
    def __init__(self, rule: Linear, features: int) -> None:
        super().__init__()
        self.matched = rule.matched
        self.weight = nn.Parameter(torch.eye(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, codes: Tensor) -> Tensor:
        return nn.functional.linear(codes, self.weight, self.bias)

    def init_(self, codes: Tensor, rows: Tensor, valid: Valid) -> None:
        if not self.matched:
            return
        mean, spread = mean_and_covariance(rows, valid)
        own = Valid.of(torch.ones_like(codes[:, 0], dtype=torch.bool))
        own_mean, own_spread = mean_and_covariance(codes, own)
        # With S = L L^T of rows and M M^T of codes, W = L M^-1 turns the one covariance into the other
        weight = torch.linalg.solve_triangular(_factor(own_spread), _factor(spread), upper=False, left=False)
        self.weight.copy_(weight)
        self.bias.copy_(mean - weight @ own_mean)


def _factor(spread: Tensor) -> Tensor:
    ridge = _RIDGE * spread.diagonal().mean()
    ridge = torch.where(ridge > 0, ridge, 1.0)
    return torch.linalg.cholesky_ex(spread + ridge * torch.eye(len(spread)).to(spread)).L
