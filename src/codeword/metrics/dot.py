"""Nearest in the dot product."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Metric
from codeword.functional import Prepared, prepare, search

__all__ = ["Dot"]


@dataclass(frozen=True)
class Dot(Metric):
    """k = argmax_k x . c_k, the lowest index winning exact ties.

    Long codes win for all rows, so give the codes about equal lengths, by a norm cap or a unit-norm transform. Use it
    if your model uses the product itself, like the logits of index backpropagation (arXiv:2412.02692).
    """

    prepares_together = True

    def prepare(self, codes: Tensor) -> Prepared:
        return prepare(codes, "dot")

    def assign(self, rows: Tensor, prepared: Prepared) -> Tensor:
        return search(rows, prepared)

    def scores(self, rows: Tensor, codes: Tensor) -> Tensor:
        return rows @ codes.T
