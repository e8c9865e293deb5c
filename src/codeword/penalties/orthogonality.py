"""A penalty on codes that point the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.axes import Lookup, Penalty

__all__ = ["Orthogonality"]


@dataclass(frozen=True)
class Orthogonality(Penalty):
    """The mean squared cosine between different codes, up to K^2 / (K^2 - K): |E E^T|^2 / K^2 - 1 / K for unit codes E.

    Computed as |E^T E|^2, D x D instead of K x K, so all codes take part and none need be sampled.

    Args:
        weight: of this term in the quantizer's `loss`.
        active: whether only codes chosen in this batch take part.

    Source: Shin et al. 2021 (arXiv:2112.00384).
    """

    weight: float = 10.0
    active: bool = False
    name: ClassVar[str] = "orthogonality"
    trains_rows = False
    trains_codes = True

    def __call__(self, lookup: Lookup) -> Tensor:
        unit = F.normalize(lookup.codes(), dim=-1)
        weights = torch.ones_like(unit[:, 0])
        if self.active:
            chosen = lookup.valid.mask.to(weights.dtype)
            weights = torch.zeros_like(weights).index_put((lookup.indices,), chosen, accumulate=True)
            weights = weights.clamp_max(1)
        count = weights.sum().clamp_min(1)
        gram = (weights[:, None] * unit).T @ unit
        return gram.square().sum() / count**2 - 1 / count
