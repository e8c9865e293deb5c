"""The codebook loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from codeword.axes import Lookup, Penalty
from codeword.functional import squared_error

__all__ = ["CodebookLoss"]


@dataclass(frozen=True)
class CodebookLoss(Penalty):
    """Pulls each code to its inputs: the mean over valid rows and features of (c - sg x)^2.

    For codes that learn by gradient, or codes with a transform that does.

    Args:
        weight: of this term in the quantizer's `loss`.

    Source: van den Oord et al. 2017, equation 3 (arXiv:1711.00937), with its weight of 1.
    """

    weight: float = 1.0
    name: ClassVar[str] = "codebook"
    trains_rows = False
    trains_codes = True
    of_pairs = True

    def __call__(self, lookup: Lookup) -> Tensor:
        return squared_error(lookup.q, lookup.rows.detach(), lookup.valid.weights(lookup.rows.dtype))
