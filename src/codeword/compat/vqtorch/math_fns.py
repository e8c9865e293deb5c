"""`entropy`."""

from __future__ import annotations

from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["entropy"]


def entropy(x: Tensor, dim: int = -1, eps: float = 1e-8, keepdim: bool = False) -> Tensor:
    """-sum p log p in nats along an axis, of numbers that are made to sum to 1.

    Args:
        x: none of them negative.
        dim: the axis.
        eps: is added to each.
        keepdim: whether the axis stays, with size 1.

    Examples:
        >>> import torch
        >>> entropy(torch.tensor([1.0, 1.0, 1.0, 1.0]))
        tensor(1.3863)
    """
    if x.numel() and not x.detach().amin() >= 0:
        raise CodewordError.of(
            "numbers of at least 0", f"{float(x.detach().amin())}", "pass counts or shares"
        )
    share = (x + eps) / (x + eps).sum(dim, keepdim=True)
    return -(share * share.log()).sum(dim, keepdim=keepdim)
