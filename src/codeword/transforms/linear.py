"""All codes through one linear map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codeword.axes import Transform, TransformModule
from codeword.functional import Valid, moments, with_ridge
from codeword.transforms.moments import mean_and_covariance

__all__ = ["Linear"]

_RIDGE = 1e-4  # of the mean variance


@dataclass(frozen=True)
class Linear(Transform):
    """c' = W c + b with W and b learned. Over frozen normal codes this is SimVQ.

    Every gradient moves all codes, so no code becomes dead. The start is matched to the first batch: W and b give the
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
        self.weight = nn.Parameter(torch.empty(features, features, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty(features, dtype=torch.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.eye_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, codes: Tensor) -> Tensor:
        return nn.functional.linear(codes, self.weight, self.bias)

    def init_(self, codes: Tensor, rows: Tensor, valid: Valid) -> None:
        if not self.matched:
            return
        mean, covariance = mean_and_covariance(rows, valid)
        codes = codes.double()
        own_mean, own = moments(codes, torch.full_like(codes[:, 0], 1 / len(codes)))
        # With S = L L^T of rows and M M^T of codes, W = L M^-1 turns the one covariance into the other
        weight = torch.linalg.solve_triangular(_factor(own), _factor(covariance), upper=False, left=False)
        self.weight.copy_(weight)
        self.bias.copy_(mean - weight @ own_mean)


def _factor(covariance: Tensor) -> Tensor:
    unit = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    alike = covariance.diagonal().mean() <= 0  # one code, or one row: as if its variance were 1
    return torch.linalg.cholesky_ex(torch.where(alike, unit, with_ridge(covariance, _RIDGE))).L
