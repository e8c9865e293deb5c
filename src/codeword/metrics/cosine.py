"""Nearest in direction."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from codeword.axes import Metric
from codeword.errors import CodewordError
from codeword.functional import Prepared, prepare, search

__all__ = ["Cosine"]


@dataclass(frozen=True)
class Cosine(Metric):
    """k = argmax_k x . c_k / (|x| |c_k|), the lowest index winning exact ties.

    By default only the search is normalised: rows and codes keep their lengths, and the output is a code with its
    length (as in DAC). With `unit`, rows, codes and the output are on the unit sphere (as in ViT-VQGAN and LlamaGen).

    Args:
        unit: rows are normalised first, and codes when they are returned.
        keep_norm: with `unit`: the output is the unit code times the norm of its row. Indices do not contain this norm,
            so `decode` raises an error.

    Raises:
        CodewordError: `keep_norm` without `unit`.

    Source: Yu et al. 2021 (arXiv:2110.04627); Kumar et al. 2023 (arXiv:2306.06546).
    """

    unit: bool = False
    keep_norm: bool = False
    prepares_together = True

    def __post_init__(self) -> None:
        if self.keep_norm and not self.unit:
            raise CodewordError.of("unit=True with keep_norm", repr(self), "pass unit=True too")

    def prepare(self, codes: Tensor) -> Prepared:
        return prepare(codes, "cosine")

    def assign(self, rows: Tensor, prepared: Prepared) -> Tensor:
        return search(rows, prepared)

    def scores(self, rows: Tensor, codes: Tensor) -> Tensor:
        return self.compared(rows) @ self.compared(codes).T

    def compared(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1)

    def input(self, rows: Tensor) -> Tensor:
        return F.normalize(rows, dim=-1) if self.unit else rows

    def output(self, codes: Tensor) -> Tensor:
        return F.normalize(codes, dim=-1) if self.unit else codes
