"""Errors between rows, weighed by which of them are valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.functional.valid import Valid

__all__ = ["squared_error", "sum_of"]


def squared_error(rows: Tensor, targets: Tensor, valid: Valid) -> Tensor:
    """The mean of (rows - targets)^2 over features and this rank's valid rows, a scalar; 0 when there are none.

    Both sides get gradients, unless detached. The chain of tensor operations that this stands for makes seven
    passes over the data, forward and backward; this makes three.

    Args:
        rows: (N, D), or (G, N, D): then the mean is over groups as well. Finite.
        targets: the same shape, finite.
        valid: which of the N rows count.

    Examples:
        >>> rows, targets = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)
        >>> squared_error(rows, targets, Valid.of(torch.tensor([True, False])))
        tensor(2.5000)
    """
    numbers = rows.shape[:-2].numel() * rows.shape[-1]
    weights = valid.mask.to(rows.dtype) / (valid.count.clamp_min(1) * numbers)
    return _SquaredError.apply(rows, targets, weights)


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


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, targets, weights)
        difference = rows - targets
        errors = torch.linalg.vecdot(difference, difference) @ weights
        return errors.sum() if errors.ndim else errors

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, targets, weights = ctx.saved_tensors
        slope = (rows - targets) * (2 * gradient * weights)[:, None]
        return (
            slope if ctx.needs_input_grad[0] else None,
            -slope if ctx.needs_input_grad[1] else None,
            None,
        )
