"""The commitment loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from codeword.axes import Lookup, Penalty
from codeword.functional.losses import valid_squared_error

__all__ = ["Commitment"]


@dataclass(frozen=True)
class Commitment(Penalty):
    """Pulls the input to its code: the mean over valid rows and features of (x - sg q)^2. The default.

    Args:
        weight: of this term in the quantizer's `loss`.

    Source: van den Oord et al. 2017, equation 3 (arXiv:1711.00937), with its weight of 0.25.
    """

    weight: float = 0.25
    name: ClassVar[str] = "commitment"
    of_pairs = True

    def __call__(self, lookup: Lookup) -> Tensor:
        return valid_squared_error(lookup.rows, lookup.q.detach(), lookup.valid)
