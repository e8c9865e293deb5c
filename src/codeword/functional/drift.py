"""How rows have moved away from their codes, as one affine map of all codes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["drifted"]


def drifted(codes: Tensor, counts: Tensor, sums: Tensor, total: Tensor) -> Tensor:
    """Move all codes by the affine map that fits the chosen ones to their rows best.

    With weights p_k = n_k / N, m the mean of the chosen codes, and v the mean variance of their features:

        A, b = argmin  sum_k p_k |s_k / n_k - c_k - A (c_k - m) - b|^2  +  (D / N) v |A|^2  +  (D / N) |b|^2
        c_k <- c_k + A (c_k - m) + b        for every code, chosen or not

    The penalty counts as D rows that have not moved: it damps the noise of steps of few rows.

    Args:
        codes: (..., K, D).
        counts: (..., K), the weight of the rows that chose each code, in the dtype of the codes.
        sums: (..., K, D), the sums of these rows, each times its weight.
        total: how many rows, an int64 scalar; 0 leaves the codes as they are.

    Examples:
        Four of five codes were chosen, by 25 rows each that lie a little further to the right; the fifth follows:

        >>> codes = torch.tensor([[0.0], [1.0], [2.0], [3.0], [9.0]])
        >>> counts = torch.tensor([25.0, 25.0, 25.0, 25.0, 0.0])
        >>> moved = drifted(codes, counts, counts[:, None] * (codes + 1.01), torch.tensor(100))
        >>> moved.flatten().round(decimals=4).tolist()
        [1.0, 2.0, 3.0, 4.0, 10.0]
    """
    tiny, features = torch.finfo(codes.dtype).tiny, codes.shape[-1]
    weight = counts.sum(-1, keepdim=True).clamp_min(tiny)
    share = (counts / weight)[..., None]
    mean = share.mT @ codes
    centred = codes - mean
    off = sums / weight[..., None] - share * codes
    spread = (share * centred).mT @ centred
    still = features / total.clamp_min(1).to(codes.dtype)
    ridge = still * spread.diagonal(dim1=-2, dim2=-1).mean(-1) + tiny
    spread = spread + ridge[..., None, None] * torch.eye(features, dtype=codes.dtype, device=codes.device)
    # The factor, not `solve`: that waits for the device.
    turn = torch.cholesky_solve(centred.mT @ off, torch.linalg.cholesky_ex(spread).L)
    return codes + centred @ turn + off.sum(-2, keepdim=True) / (1 + still)
