"""Means, covariances and higher moments of rows."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["moments", "moments_of_each", "scatter_matrix", "with_ridge"]


def moments(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and covariance (D, D) of rows (N, D), with weights (N,) whose sum is 1.

    Examples:
        >>> moments(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([0.5, 0.5]))
        (tensor([1., 1.]), tensor([[1., 0.],
                [0., 0.]]))
    """
    mean = weights @ rows
    return mean, scatter_matrix(rows, weights, mean)


def moments_of_each(rows: Tensor, mask: Tensor, higher: bool = True) -> dict[str, Tensor]:
    """The moments (D,) of each number of rows (N, D), over the rows of a mask (N,).

    Args:
        rows: (N, D), differentiable.
        mask: (N,) bool, True for the rows that count.
        higher: whether the third and fourth are wanted.

    Returns:
        `mean`, the unbiased `variance`, and `skewness` and excess `kurtosis`, in this order; all finite if no row
        counts, or one.

    Examples:
        >>> rows = torch.tensor([[-1.0], [1.0], [-1.0], [1.0], [9.0]])
        >>> mask = torch.tensor([True, True, True, True, False])
        >>> {name: float(value) for name, value in moments_of_each(rows, mask, higher=False).items()}
        {'mean': 0.0, 'variance': 1.3333333730697632}
    """
    weights = mask.to(rows.dtype)[:, None]
    count = weights.sum().clamp_min(1)
    mean = (weights * rows).sum(0) / count
    off = weights * (rows - mean)
    variance = off.square().sum(0) / (count - 1).clamp_min(1)
    found = {"mean": mean, "variance": variance}
    if higher:
        unit = off / variance.clamp_min(torch.finfo(rows.dtype).tiny).sqrt()
        found |= {"skewness": unit.pow(3).sum(0) / count, "kurtosis": unit.pow(4).sum(0) / count - 3}
    return found


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
