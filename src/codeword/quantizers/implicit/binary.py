"""Numbers as single bits."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.quantizers.implicit.base import Implicit

__all__ = ["Binarize"]


class Binarize(Implicit):
    """Each number becomes 1 above the threshold and 0 elsewhere, with the straight-through gradient.

    `indices` are the bits, (..., features): any number of features will do.

    Args:
        features: size of a vector.
        threshold: what a number must exceed to become 1.
        dim: the axis of the features.
        device: of the counts of use.

    Examples:
        >>> binarize = Binarize(3, threshold=0.5)
        >>> x = torch.tensor([[0.4, 0.5, 0.6]], requires_grad=True)
        >>> out = binarize(x)
        >>> out.quantized.sum().backward()
        >>> out.quantized.tolist(), out.indices.tolist(), x.grad.tolist()
        ([[0.0, 0.0, 1.0]], [[0, 0, 1]], [[1.0, 1.0, 1.0]])
    """

    spec_name = "binarize"

    def __init__(
        self,
        features: int,
        *,
        threshold: float = 0.0,
        dim: int = -1,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(features, (2,) * features, dim=dim, joined=False, device=device)
        self.threshold = threshold

    def _digits(self, rows: Tensor) -> Tensor:
        return rows > self.threshold

    def _vectors(self, digits: Tensor) -> Tensor:
        return digits.to(self.dtype)
