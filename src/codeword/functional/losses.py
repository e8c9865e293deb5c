"""Errors between rows, weighed by which of them are valid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.functional.valid import Valid
from codeword.kernels import squared_error as kernel

__all__ = ["squared_error", "sum_of", "valid_squared_error"]


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


def valid_squared_error(rows: Tensor, targets: Tensor, valid: Valid) -> Tensor:
    """As `squared_error`, over the valid rows; in two launches where Triton serves and no gradient is wanted.

    Examples:
        >>> rows, valid = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), Valid.of(torch.tensor([True, False]))
        >>> valid_squared_error(rows, torch.zeros(2, 2), valid)
        tensor(2.5000)
    """
    if not kernel.serves(rows):
        return squared_error(rows, targets, valid.weights(rows.dtype))
    groups = rows.shape[:-2].numel()
    parts = (part.reshape(groups, *part.shape[-2:]) for part in (rows, targets))
    found: Tensor = kernel.squared_error(*parts, valid.mask)
    return found


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
