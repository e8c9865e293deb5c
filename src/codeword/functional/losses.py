"""Errors between rows, weighed by which of them are valid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codeword.functional.valid import Valid

__all__ = ["squared_error"]


def squared_error(rows: Tensor, targets: Tensor, valid: Valid) -> Tensor:
    """The mean of (rows - targets)^2 over features and this rank's valid rows, a scalar; 0 when there are none.

    Both sides get gradients, unless detached. The chain of tensor operations that this stands for makes seven
    passes over the data, forward and backward; this makes three.

    Args:
        rows: (N, D), finite.
        targets: (N, D), finite.
        valid: which rows count.

    Examples:
        >>> rows, targets = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)
        >>> squared_error(rows, targets, Valid.of(torch.tensor([True, False])))
        tensor(2.5000)
    """
    weights = valid.mask.to(rows.dtype) / (valid.held.clamp_min(1) * rows.shape[1])
    try:
        return _SquaredError.apply(rows, targets, weights)
    except RuntimeError:  # torch.func and forward derivatives need another form, which costs twice as much
        return _Transformed.apply(rows, targets, weights)


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, targets, weights)
        return torch.dot(weights, (rows - targets).square().sum(-1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, targets, weights = ctx.saved_tensors
        slope = (rows - targets) * (2 * gradient * weights)[:, None]
        return (
            slope if ctx.needs_input_grad[0] else None,
            -slope if ctx.needs_input_grad[1] else None,
            None,
        )


class _Transformed(_SquaredError):
    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        return torch.dot(weights, (rows - targets).square().sum(-1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, rows: Tensor | None, targets: Tensor | None, weights: None) -> Tensor:
        before, after, weight = ctx.saved_tensors
        change = (0 if rows is None else rows) - (0 if targets is None else targets)
        return 2 * torch.dot(weight, ((before - after) * change).sum(-1))
