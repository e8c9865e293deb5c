"""Norms of vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.errors import CodewordError

__all__ = ["MaxNormConstraint", "Normalize", "match_norm", "max_norm"]

MAXNORM_CONSTRAINT_VALUE = 10


class Normalize(nn.Module):
    """x / |x| along an axis, with |x| of at least eps.

    Args:
        p: of the norm.
        dim: the axis.
        eps: the least length that is divided by.
    """

    def __init__(self, p: float = 2, dim: int = 1, eps: float = 1e-6) -> None:
        super().__init__()
        self.p, self.dim, self.eps = p, dim, eps

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, p=self.p, dim=self.dim, eps=self.eps)


def max_norm(
    w: Tensor, p: float = 2, dim: int = -1, max_norm: float = MAXNORM_CONSTRAINT_VALUE, eps: float = 1e-8
) -> Tensor:
    """Vectors with a length of at most `max_norm`.

    Examples:
        >>> max_norm(torch.tensor([30.0, 40.0]))
        tensor([6., 8.])
    """
    length = torch.linalg.vector_norm(w, ord=p, dim=dim, keepdim=True)
    return w * (length.detach().clamp_max(max_norm) / (length + eps))


class MaxNormConstraint(nn.Module):
    """`max_norm` as a module.

    Args:
        max_norm: the largest length.
        p: of the norm.
        dim: the axis.
        eps: is added to the length that is divided by.
    """

    def __init__(self, max_norm: float = 1, p: float = 2, dim: int = -1, eps: float = 1e-8) -> None:
        super().__init__()
        self.max_norm, self.p, self.dim, self.eps = max_norm, p, dim, eps

    def forward(self, x: Tensor) -> Tensor:
        return max_norm(x, self.p, self.dim, self.max_norm, self.eps)


def match_norm(x: Tensor, y: Tensor, dim: int = -1, eps: float = 1e-8) -> Tensor:
    """x with the lengths of y along an axis.

    Examples:
        >>> match_norm(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 10.0]]))
        tensor([[6., 8.]])
    """
    if x.shape != y.shape:
        raise CodewordError.of(
            "x and y of one shape", f"{tuple(x.shape)} and {tuple(y.shape)}", "reshape one"
        )
    return torch.linalg.vector_norm(y, dim=dim, keepdim=True) * F.normalize(x, dim=dim, eps=eps)
