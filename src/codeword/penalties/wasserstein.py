"""A penalty on codes whose mean and covariance differ from those of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codeword.axes import Lookup, Penalty
from codeword.functional import moments, with_ridge

__all__ = ["Wasserstein"]

_RIDGE = 1e-5  # of the mean variance, at least: keeps the factorisation away from the edge
_STEPS = 30  # of the iteration below: singular values of 1e-5 of the norm grow to one, 1.5 times a step


@dataclass(frozen=True)
class Wasserstein(Penalty):
    """The squared 2-Wasserstein distance of two normal distributions, with the moments of the rows and of the codes:

        |m_x - m_c|^2 + tr(S_x + S_c - 2 (S_x^1/2 S_c S_x^1/2)^1/2)

    The last trace is the sum of the singular values of M = L_x^T L_c, with S = L L^T, and so tr(P^T M) with the polar
    factor P of M, which is also its gradient and comes by products alone (Newton-Schulz). Only moments are matched, so
    it does not see separate clusters. Moments are of this rank's valid rows; D x D products, 60 of them, make it slow
    for large D.

    Args:
        weight: of this term in the quantizer's `loss`.

    Source: "Distributional Matching for Vector Quantization", 2025 (arXiv:2506.15078), with its weight of 0.5.
    """

    weight: float = 0.5
    name: ClassVar[str] = "wasserstein"
    trains_codes = True

    def __call__(self, lookup: Lookup) -> Tensor:
        codes = lookup.metric.output(lookup.codes())
        mean_x, covariance_x = moments(lookup.rows, lookup.valid.weights(codes.dtype))
        mean_c, covariance_c = moments(codes, torch.full_like(codes[:, 0], 1 / len(codes)))
        share = max(_RIDGE, 4 * torch.finfo(codes.dtype).eps * codes.shape[1])
        covariance_x, covariance_c = with_ridge(covariance_x, share), with_ridge(covariance_c, share)
        product = torch.linalg.cholesky_ex(covariance_x).L.T @ torch.linalg.cholesky_ex(covariance_c).L
        overlap = (_polar(product.detach()) * product).sum()
        traces = covariance_x.diagonal().sum() + covariance_c.diagonal().sum()
        return (mean_x - mean_c).square().sum() + traces - 2 * overlap


def _polar(matrix: Tensor) -> Tensor:
    """U V^T of a matrix U S V^T, by X <- 3/2 X - 1/2 X X^T X, which leads singular values from 0 to 1 up to 1."""
    tiny = torch.finfo(matrix.dtype).tiny
    x = matrix / matrix.abs().amax().clamp_min(tiny)  # first, as the squares of a norm would underflow
    x = x / torch.linalg.matrix_norm(x).clamp_min(tiny)
    for _ in range(_STEPS):
        x = 1.5 * x - 0.5 * (x @ x.T) @ x
    return x
