"""Gradients for vectors that were replaced by codes: the estimators of the layers as functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.functional.nearest import Metric, nearest
from codeword.functional.replace_gradient import replace_gradient

__all__ = ["directional", "directional_surrogate", "rotate", "rotated", "straight_through", "vector_quantize"]


def straight_through(x: Tensor, q: Tensor) -> Tensor:
    """The value of q; x gets its gradient unchanged: dq/dx = I.

    Args:
        x: (..., D), the vectors that were quantized.
        q: (..., D), their codes; they get no gradient.

    Returns:
        (..., D), exactly q.

    Source: Bengio et al. 2013 (arXiv:1308.3432); van den Oord et al. 2017 (arXiv:1711.00937).

    Examples:
        >>> x = torch.tensor([0.3, 1.7], requires_grad=True)
        >>> straight_through(x, x.round()).square().sum().backward()
        >>> x.grad
        tensor([0., 4.])
    """
    return replace_gradient(q, x)


def rotate(x: Tensor, q: Tensor, *, scaled: bool = True) -> Tensor:
    """The value of q with the gradient of the rotation from x to q: the rotation trick.

    Args:
        x: (..., D), the vectors that were quantized.
        q: (..., D), their codes; they get no gradient.
        scaled: whether the gradient is also multiplied by |q| / |x|.

    Returns:
        (..., D), exactly q. A row of zeros gets its gradient unchanged.

    Source: Fifty et al. 2024 (arXiv:2410.06424), equations 2 to 4; not scaled: its table 6.

    Examples:
        >>> x = torch.tensor([[1.0, 0.0]], requires_grad=True)
        >>> rotate(x, torch.tensor([[0.0, 2.0]])).backward(torch.tensor([[0.0, 1.0]]))
        >>> x.grad.round(decimals=3).abs()  # the gradient along the code points along x
        tensor([[2., 0.]])
    """
    return replace_gradient(q, rotated(x, q, scaled=scaled))


def directional(x: Tensor, q: Tensor) -> Tensor:
    """The value of q; the gradient is that of the length of the error, with its direction held constant (DiVeQ).

    With u the unit vector from x to q: d/dx = I - u u^T and d/dq = u u^T, so no loss of the codebook is needed.

    Args:
        x: (..., D), the vectors that were quantized.
        q: (..., D), their codes.

    Returns:
        (..., D), exactly q.

    Source: "DiVeQ", 2025 (arXiv:2509.26469); without its noise, which the estimator `Directional` has.

    Examples:
        >>> x, q = (torch.tensor([[v, 0.0]], requires_grad=True) for v in (0.0, 1.0))
        >>> directional(x, q).backward(torch.tensor([[1.0, 1.0]]))
        >>> x.grad, q.grad
        (tensor([[0., 1.]]), tensor([[1., 0.]]))
    """
    return replace_gradient(q, directional_surrogate(x, q, (q - x).detach()))


def vector_quantize(x: Tensor, codes: Tensor, *, metric: Metric = "euclidean") -> tuple[Tensor, Tensor]:
    """Replace each vector by its nearest code, with the straight-through gradient.

    Args:
        x: (..., D), floating.
        codes: (K, D); they get no gradient from the output: add a loss such as `(codes[indices] - x.detach())^2`.
        metric: as for `nearest`.

    Returns:
        the codes (..., D) in the dtype of x, and their int64 indices (...).

    Raises:
        CodewordError: shapes, dtypes or devices that do not fit.

    Examples:
        >>> q, indices = vector_quantize(torch.tensor([[0.9], [3.8]]), torch.tensor([[1.0], [4.0]]))
        >>> q.flatten().tolist(), indices.tolist()
        ([1.0, 4.0], [0, 1])
    """
    indices = nearest(x.reshape(-1, x.shape[-1]), codes, metric=metric).view(x.shape[:-1])
    return straight_through(x, codes[indices].to(x.dtype)), indices


def rotated(x: Tensor, q: Tensor, *, scaled: bool = True) -> Tensor:
    """l R x, with R and l = |q| / |x| held constant; its value is q, up to rounding.

    With x^ = x / |x|, q^ = q / |q| and r the unit vector between them, R = I - 2 r r^T + 2 q^ x^^T.
    """
    fixed, target = x.detach(), q.detach()
    length, reach = (torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (fixed, target))
    x_hat, q_hat = F.normalize(fixed, dim=-1), F.normalize(target, dim=-1)
    r = F.normalize(x_hat + q_hat, dim=-1)
    turned = x - 2 * r * _dot(r, x) + 2 * q_hat * _dot(x_hat, x)
    if scaled:
        turned = turned * (reach / length.clamp_min(torch.finfo(x.dtype).tiny))
    return torch.where((length > 0) & (reach > 0), turned, x)


def directional_surrogate(x: Tensor, q: Tensor, direction: Tensor) -> Tensor:
    """x + |q - x| u, with u the unit vector of a direction that is held constant."""
    length = torch.linalg.vector_norm(q - x, dim=-1, keepdim=True)
    return x + length * F.normalize(direction.detach(), dim=-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)
