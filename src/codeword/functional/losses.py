"""Errors between rows, weighed by which of them are valid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["squared_error", "sum_of"]


def squared_error(rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The mean of (rows - targets)^2 over features and rows, a scalar.

    Both sides get gradients, unless detached.

    Args:
        rows: (N, D), or (G, N, D): then the mean is over groups as well. Finite.
        targets: the same shape, finite.
        weights: (N,) of the rows: `Valid.weights`.

    Examples:
        >>> rows, targets = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)
        >>> squared_error(rows, targets, torch.tensor([1.0, 0.0]))
        tensor(2.5000)
    """
    share = weights / (
        rows.numel() // max(1, rows.shape[-2])
    )  # not after the sum, where it costs backward too
    errors = torch.ops.aten.mse_loss(rows, targets, 0)  # 0: not reduced
    return errors.sum([axis for axis in range(rows.ndim) if axis != rows.ndim - 2]) @ share


def sum_of(terms: Sequence[Tensor]) -> Tensor:
    """The sum of at least one term, added in order.

    Examples:
        >>> sum_of([torch.tensor(1.0), torch.tensor(2.0)])
        tensor(3.)
    """
    total, *others = terms
    for term in others:
        total = total + term
    return total
