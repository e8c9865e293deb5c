"""Nearest in the Euclidean distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Metric
from codeword.functional import Prepared, prepare, search

__all__ = ["Euclidean"]


@dataclass(frozen=True)
class Euclidean(Metric):
    """k = argmin_k |x - c_k|^2, the lowest index winning exact ties. The default."""

    prepares_together = True

    def prepare(self, codes: Tensor) -> Prepared:
        return prepare(codes, "euclidean")

    def assign(self, rows: Tensor, prepared: Prepared) -> Tensor:
        return search(rows, prepared)

    def scores(self, rows: Tensor, codes: Tensor) -> Tensor:
        """-|x - c|^2 + |x - m|^2, with m the mean of the codes: adding this constant of a row avoids cancellation."""
        middle = codes.detach().mean(0)
        rows, codes = rows - middle, codes - middle
        return 2 * rows @ codes.T - codes.square().sum(-1)

    def logits(self, rows: Tensor, codes: Tensor) -> Tensor:
        """-|x - c|."""
        off = rows - codes.detach().mean(0)  # scores leave out what a row has in common with all codes
        squared = off.square().sum(-1, keepdim=True) - self.scores(rows, codes)
        return -squared.clamp_min(torch.finfo(rows.dtype).tiny ** 0.5).sqrt()
