"""What every search does to the codes first: centre them, and turn the metric into a score to maximise.

score(x, c) = (x - shift) . c' + offset(c), with c' = c - centre. For "euclidean" shift = centre and offset =
-|c'|^2 / 2, which is (|x - centre|^2 - |x - c|^2) / 2; for "dot" shift = 0 and offset = 0, which is x . c less
x . centre. Either way the largest score is the nearest code, and no large number common to all codes is left
to cancel. The centre is where most codes are: the mean would follow a single code that is far away, and leave
the others, and the rows near them, as large numbers of little difference.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Prepared", "are_finite", "prepare"]

SAMPLE = 1024  # codes that the centre is found from


class Prepared(NamedTuple):
    """Codes ready for a search: (G, K, D), their offsets (G, K) and the shift of the rows (G, 1, D)."""

    codes: Tensor
    offsets: Tensor
    shift: Tensor


def prepare(codes: Tensor, metric: str) -> Prepared:
    """Centre the codes (G, K, D). One with a non-finite entry gets offset -inf: nothing chooses it."""
    finite = are_finite(codes)
    centre = _centre(codes, finite)
    centred = torch.where(finite, codes - centre, 0)
    if metric == "euclidean":
        offsets, shift = centred.square().sum(-1) * -0.5, centre
    else:
        offsets, shift = codes.new_zeros(codes.shape[:-1]), torch.zeros_like(centre)
    return Prepared(centred, offsets.masked_fill(~finite.squeeze(-1), -torch.inf), shift)


def _centre(codes: Tensor, finite: Tensor) -> Tensor:
    """About the middle (G, 1, D) of most codes: the mean, weighted a few times by the inverse square of the distance.

    A fair sample of the codes is enough, for any point near them will do.
    """
    every = max(1, codes.shape[-2] // SAMPLE)
    codes, finite = codes[:, ::every], finite[:, ::every]
    codes, weights = torch.where(finite, codes, 0), finite.to(codes.dtype)
    for _ in range(4):
        centre = _mean(codes, weights)
        far = (codes - centre).abs().sum(-1, keepdim=True)
        near = far.amin(-2, keepdim=True) + far.amax(-2, keepdim=True) * 1e-6 + torch.finfo(far.dtype).tiny
        weights = weights * (near / (far + near)).square()
    return _mean(codes, weights)


def _mean(codes: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(-2, keepdim=True)
    return (weights * codes).sum(-2, keepdim=True) / torch.where(total > 0, total, 1)


def are_finite(vectors: Tensor) -> Tensor:
    """(..., 1) bool for (..., D): x - x is 0 or NaN. An eighth of the time of `isfinite().all(-1)`."""
    return (vectors - vectors).sum(-1, keepdim=True) == 0
