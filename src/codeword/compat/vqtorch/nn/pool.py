"""Pooling of whole vectors: by their norm, so that a code stays a code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MaxVecPool2d", "SoftMaxVecPool2d"]


class _VecPool2d(nn.Module):
    """The sum over a window of its vectors, weighted by a function of their norms, which gets no gradient.

    Args:
        kernel_size, stride, padding, dilation: of the window, as for `torch.nn.Unfold`.
    """

    def __init__(
        self,
        weigh: Callable[[Tensor], Tensor],
        kernel_size: int = 3,
        stride: int = 2,
        padding: int = 2,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.weigh = weigh
        self.window = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features, height, width) to (batch, features, new height, new width)."""
        k, s, p, d = self.window.values()
        height, width = ((size + 2 * p - d * (k - 1) - 1) // s + 1 for size in x.shape[2:])
        norms = torch.linalg.vector_norm(x.detach(), dim=1, keepdim=True)
        weights = self.weigh(F.unfold(norms, **self.window))  # (batch, places in the window, windows)
        vectors = F.unfold(x, **self.window).unflatten(1, (x.shape[1], -1))
        return (weights[:, None] * vectors).sum(2).unflatten(-1, (height, width))


class MaxVecPool2d(_VecPool2d):
    """The longest vector of each window, the first of equals.

    Args:
        args, options: `kernel_size=3, stride=2, padding=2, dilation=1`.

    Examples:
        >>> MaxVecPool2d(2, 2, 0)(torch.tensor([[[[3.0, 0.0]] * 2, [[4.0, 1.0]] * 2]])).flatten()
        tensor([3., 4.])
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(_longest, *args, **options)


class SoftMaxVecPool2d(_VecPool2d):
    """The mean of each window's vectors, weighted by the softmax of their norms.

    Args:
        args, options: `kernel_size=3, stride=2, padding=2, dilation=1`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(_soft, *args, **options)


def _longest(norms: Tensor) -> Tensor:
    return F.one_hot(norms.argmax(1), norms.shape[1]).movedim(-1, 1).to(norms.dtype)


def _soft(norms: Tensor) -> Tensor:
    return norms.softmax(1)
