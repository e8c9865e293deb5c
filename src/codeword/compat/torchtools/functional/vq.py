"""Two differentiable functions, called by `.apply`."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from codeword.functional import nearest, replace_gradient

__all__ = ["binarize", "vector_quantize"]


class vector_quantize:
    """The nearest codes. Their gradient goes unchanged to the rows, and summed to the chosen codes."""

    @staticmethod
    def apply(x: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest codes (N, F) of rows x (N, F), and their indices (N,), the lowest index winning exact ties.

        Args:
            x: (N, F).
            codebook: (K, F).

        Examples:
            >>> import torch
            >>> codes = torch.tensor([[0.0], [1.0]])
            >>> vector_quantize.apply(torch.tensor([[0.2], [0.8], [0.9]]), codes)
            (tensor([[0.],
                    [1.],
                    [1.]]), tensor([0, 1, 1]))
        """
        indices = nearest(x, codebook)
        chosen = functional.embedding(indices, codebook)
        return replace_gradient(chosen, x + chosen), indices


class binarize:
    """1 above the threshold and 0 elsewhere. The gradient passes unchanged."""

    @staticmethod
    def apply(x: Tensor, threshold: float = 0.5) -> Tensor:
        """Zeros and ones of x's shape and dtype.

        Examples:
            >>> import torch
            >>> binarize.apply(torch.tensor([0.4, 0.5, 0.6]))
            tensor([0., 0., 1.])
        """
        return replace_gradient((x > threshold).to(x.dtype), x)
