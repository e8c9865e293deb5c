"""A penalty on long codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codeword.axes import Lookup, Penalty
from codeword.checks import between

__all__ = ["NormCap"]


@dataclass(frozen=True)
class NormCap(Penalty):
    """Keeps codes in a ball: the mean over codes of max(|c| - limit, 0)^2. Its hard form is the transform `MaxNorm`.

    Args:
        weight: of this term in the quantizer's `loss`.
        limit: the radius, above 0.

    Source: the norm caps of vqtorch (a limit of 10) and ArcVQ-VAE, as a penalty.
    """

    weight: float = 1.0
    limit: float = 10.0
    name: ClassVar[str] = "norm_cap"
    trains_rows = False
    trains_codes = True

    def __post_init__(self) -> None:
        super().__post_init__()
        between("limit of NormCap", self.limit, 0, math.inf)

    def __call__(self, lookup: Lookup) -> Tensor:
        length = torch.linalg.vector_norm(lookup.codes(), dim=-1)
        return (length - self.limit).clamp_min(0).square().mean()
