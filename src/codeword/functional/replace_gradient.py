"""One tensor's value with another's gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codeword.torch_versions import inside_transform

__all__ = ["replace_gradient", "wants_gradient"]


def replace_gradient(value: Tensor, surrogate: Tensor) -> Tensor:
    """Exactly `value` in the forward pass, and the gradient of `surrogate` in the backward pass.

    The usual `surrogate + (value - surrogate).detach()` rounds the value and makes two more passes over the data.

    Args:
        value: (...), gets no gradient.
        surrogate: the same shape, gets the gradient of the output unchanged.

    Examples:
        >>> x = torch.tensor([0.3, 1.7], requires_grad=True)
        >>> y = replace_gradient(x.round(), x)
        >>> y.square().sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([0.0, 2.0], [0.0, 4.0])
    """
    try:
        return _ReplaceGradient.apply(value.detach(), surrogate)
    except (
        RuntimeError
    ):  # torch.func and forward derivatives need another form, which costs four times as much
        return _Transformed.apply(value.detach(), surrogate)


def wants_gradient(*tensors: Tensor) -> bool:
    """Whether anybody may ask for a derivative with respect to tensors, forward derivatives and torch.func included.

    Examples:
        >>> wants_gradient(torch.zeros(2)), wants_gradient(torch.zeros(2, requires_grad=True))
        (False, True)
    """
    if any(tensor.requires_grad for tensor in tensors):
        return True
    if torch.compiler.is_compiling():
        return False
    return inside_transform()


class _ReplaceGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, surrogate: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


class _Transformed(_ReplaceGradient):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, surrogate: Tensor) -> Tensor:  # type: ignore[override]
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def jvp(ctx: Any, value: Tensor | None, surrogate: Tensor) -> Tensor:
        return surrogate.view_as(surrogate)
