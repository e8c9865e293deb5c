"""What every search does to the codes first: centre them, and turn the metric into a score to maximise.

score(x, c) = (x - shift) . c' + offset(c), with c' = c - centre. For "euclidean" shift = centre and offset =
-|c'|^2 / 2, which is (|x - centre|^2 - |x - c|^2) / 2; for "dot" shift = 0 and offset = 0, which is x . c less
x . centre. In both cases the nearest code has the largest score, and no large term common to all codes is left that
would lose precision in the difference.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Prepared", "prepare", "unit"]

SAMPLE = 64  # the centre is found from at most this many codes


class Prepared(NamedTuple):
    """Codes prepared for searches. They are valid until the codes change.

    Attributes:
        codes: (..., K, D), less their centre; 0 for an entry that is not finite. Or packed, with padding: for vector
            code (..., panels, D, width), for tensor cores (..., numbers).
        offsets: (..., K), added to the products of rows and codes; the lowest number for a code that is not finite, and
            -inf for padding.
        shift: (..., D), subtracted from the rows.
    """

    codes: Tensor
    offsets: Tensor
    shift: Tensor

    @property
    def packed(self) -> bool:
        """Whether the codes have the layout of a kernel."""
        return self.codes.ndim != self.offsets.ndim + 1

    def unpacked(self) -> Prepared:
        """The same with codes (..., K, D), for searches that do not take packed codes."""
        if not self.packed:
            return self
        if self.codes.ndim > self.offsets.ndim:
            return self._replace(codes=self.codes.mT.flatten(-3, -2))
        size, features = self.offsets.shape[-1], self.shift.shape[-1]
        return self._replace(codes=self.codes[..., : size * features].unflatten(-1, (size, features)))


def prepare(codes: Tensor, metric: str) -> Prepared:
    """Centre the codes (..., K, D), float32 or float64."""
    if metric == "cosine":
        codes = unit(codes)
    least = torch.finfo(codes.dtype).min / 2
    centre = _centre(codes)
    centred = codes - centre
    squares = (centred * centred).sum(-1)  # vecdot and einsum are rounded to bfloat16 under autocast
    offsets = (squares * -0.5).nan_to_num(nan=least, neginf=least)
    centred, shift = centred.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0), centre.squeeze(-2)
    if metric != "euclidean":
        offsets, shift = offsets * (offsets == least), torch.zeros_like(shift)
    return Prepared(centred, offsets, shift)


def unit(vectors: Tensor) -> Tensor:
    """Vectors scaled to length 1; zeros stay zero.

    Computed in float64, in which no square of a float32 overflows or underflows.
    """
    tiny = torch.finfo(torch.float64).tiny
    return F.normalize(vectors.double(), dim=-1, eps=tiny).to(vectors.dtype)


def _centre(codes: Tensor) -> Tensor:
    """The middle (..., 1, D) of the codes, feature by feature: the lower median of an even sample of them.

    Distant codes do not move it. They would move the mean; then the other codes, and the rows near them, would be large
    numbers with small differences. The median consists of entries of codes: if these are integers, or multiples of a
    power of two, differences from it are exact, so equal distances stay equal.
    """
    sample = codes[..., :: -(-codes.shape[-2] // SAMPLE), :]
    lower = sample.topk((sample.shape[-2] + 1) // 2, dim=-2, largest=False, sorted=False).values
    return lower.amax(-2, keepdim=True).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
