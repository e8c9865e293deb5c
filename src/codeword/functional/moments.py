"""Weighted means and covariances of rows."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["moments", "scatter_matrix", "with_ridge"]


def moments(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and covariance (D, D) of rows (N, D), with weights (N,) whose sum is 1.

    Examples:
        >>> moments(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([0.5, 0.5]))
        (tensor([1., 1.]), tensor([[1., 0.],
                [0., 0.]]))
    """
    mean = weights @ rows
    return mean, scatter_matrix(rows, weights, mean)


def scatter_matrix(rows: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """The weighted sum (D, D) of the outer products of rows less a mean."""
    centred = rows - mean
    return (weights[:, None] * centred).T @ centred


def with_ridge(covariance: Tensor, share: float) -> Tensor:
    """A covariance (D, D) with `share` of the mean variance added to each variance, so that it can be factorised.

    With fewer rows than features a covariance is singular. Zeros get the smallest normal number.

    Examples:
        >>> with_ridge(torch.zeros(1, 1), 0.1) > 0
        tensor([[True]])
    """
    ridge = share * covariance.detach().diagonal().mean() + torch.finfo(covariance.dtype).tiny
    return covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
