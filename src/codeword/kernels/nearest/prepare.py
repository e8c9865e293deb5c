"""What every search does to the codes first: centre them, and turn the metric into a score to maximise.

score(x, c) = (x - shift) . c' + offset(c), with c' = c - centre. For "euclidean" shift = centre and offset =
-|c'|^2 / 2, which is (|x - centre|^2 - |x - c|^2) / 2; for "dot" shift = 0 and offset = 0, which is x . c less
x . centre. Either way the largest score is the nearest code, and no large number common to all codes is left
to cancel.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Prepared", "prepare", "unit"]

SAMPLE = 64  # codes at most that the centre is found from


class Prepared(NamedTuple):
    """Codes ready for searches, until they change.

    Attributes:
        codes: (..., K, D), less their centre; 0 for an entry that is not finite. Or packed, with more of them than
            there are codes: for vector code, (..., panels, D, width), or for tensor cores, (..., numbers).
        offsets: (..., K), added to the products of rows and codes; the least for a code that is not finite, and -inf
            for one that does not exist.
        shift: (..., D), what is taken off the rows.
    """

    codes: Tensor
    offsets: Tensor
    shift: Tensor

    @property
    def packed(self) -> bool:
        """Whether the codes are as a kernel wants them."""
        return self.codes.ndim != self.offsets.ndim + 1

    def unpacked(self) -> Prepared:
        """With codes (..., K, D), for every search that wants them so."""
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
    """Vectors at length 1, zeros as they are. In float64, where no square of float32 overflows or vanishes."""
    tiny = torch.finfo(torch.float64).tiny
    return F.normalize(vectors.double(), dim=-1, eps=tiny).to(vectors.dtype)


def _centre(codes: Tensor) -> Tensor:
    """The middle (..., 1, D) of the codes, feature by feature: the lower median of an even sample of them.

    Codes that are far away do not move it, as they would the mean: the others, and the rows near them, would be large
    numbers of little difference. And it is made of entries of codes: where these are whole numbers, or multiples of
    a power of two, differences from it are exact, and so equal distances stay equal.
    """
    sample = codes[..., :: -(-codes.shape[-2] // SAMPLE), :]
    lower = sample.topk((sample.shape[-2] + 1) // 2, dim=-2, largest=False, sorted=False).values
    return lower.amax(-2, keepdim=True).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
