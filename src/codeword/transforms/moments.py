"""Means and variances of the valid rows of all ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword import distributed
from codeword.axes import TransformModule
from codeword.functional import Valid, clone_for_backward, scatter_matrix

__all__ = ["FollowsRows", "RunningMoments", "first_moments", "mean_and_covariance", "sums_about", "variance"]


def sums_about(rows: Tensor, valid: Valid, middle: Tensor) -> Tensor:
    """Flat, ready to be summed over ranks: how many rows, their sums about the middle (D,), and those of squares."""
    centred = rows - middle
    weights = valid.mask.to(centred.dtype)
    return torch.cat([weights.sum()[None], weights @ centred, weights @ centred.square()])


def first_moments(sums: Tensor, middle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How many rows, their mean (D,) and variance (D,), from sums about a middle."""
    count, first, second = sums.split([1, len(middle), len(middle)])
    shift = first / count.clamp_min(1)
    return count, middle + shift, (second / count.clamp_min(1) - shift.square()).clamp_min(0)


def mean_and_covariance(rows: Tensor, valid: Valid) -> tuple[Tensor, Tensor]:
    """The mean (D,) and covariance (D, D) of the valid rows of all ranks, float64."""
    weights, rows = valid.mask.double(), rows.double()
    mean = _summed(weights @ rows, valid) / valid.total.clamp_min(1)
    return mean, _summed(scatter_matrix(rows, weights, mean), valid) / valid.total.clamp_min(1)


def variance(codes: Tensor) -> Tensor:
    """The variance (D,) of codes (K, D), with a floor above zero and above the rounding error of equal codes."""
    rounding = (torch.finfo(codes.dtype).eps * codes.detach().abs().amax(0)).square()
    return codes.var(0, correction=0).clamp_min(1e-20).maximum(rounding)


def _summed(tensor: Tensor, valid: Valid) -> Tensor:
    return distributed.sum_(tensor) if valid.shared else tensor


class RunningMoments(torch.nn.Module):
    """Mean and variance of rows, as exponential moving averages that start at the first batch."""

    def __init__(self, features: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.empty(features, dtype=torch.float32))
        self.register_buffer("variance", torch.empty(features, dtype=torch.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Forget all rows."""
        self.mean.zero_()
        self.variance.fill_(1)

    mean: Tensor
    variance: Tensor

    def init_(self, rows: Tensor, valid: Valid) -> None:
        for _ in range(2):  # the second time about the mean itself, so that nothing cancels
            sums = _summed(sums_about(rows, valid, self.mean), valid)
            _, mean, variance = first_moments(sums, self.mean)
            self.mean.copy_(clone_for_backward(mean))
            self.variance.copy_(clone_for_backward(variance))

    def statistics(self, rows: Tensor, valid: Valid) -> Tensor:
        return sums_about(rows, valid, self.mean)

    def update_(self, sums: Tensor | None) -> None:
        assert sums is not None
        count, mean, variance = first_moments(sums, self.mean)
        rate = count.clamp_max(1) * self.momentum
        self.mean.copy_(clone_for_backward(self.mean.lerp(mean, rate)))
        self.variance.copy_(clone_for_backward(self.variance.lerp(variance, rate)))


class FollowsRows(TransformModule):
    """A map of the codes that depends on the running mean and variance of the rows."""

    writes = True

    def __init__(self, features: int, momentum: float) -> None:
        super().__init__()
        self.rows = RunningMoments(features, momentum)

    def init_(self, codes: Tensor, rows: Tensor, valid: Valid) -> None:
        self.rows.init_(rows, valid)

    def statistics(self, rows: Tensor, valid: Valid) -> Tensor:
        return self.rows.statistics(rows, valid)

    def update_(self, statistics: Tensor | None) -> None:
        self.rows.update_(statistics)
