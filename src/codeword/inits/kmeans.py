"""Codes from the first batch by k-means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Init
from codeword.checks import at_least
from codeword.functional import Key, Purpose, Valid, lloyd
from codeword.inits.sample import Sample

__all__ = ["KMeans"]


@dataclass(frozen=True)
class KMeans(Init):
    """Lloyd's algorithm from a sampled start, on a sample of the first batch. The default.

    With fewer than two rows per code there are no clusters to find, and the sampled rows are kept.

    Args:
        steps: Lloyd steps.
        rows_per_code: the largest number of rows per code that are used.

    Source: Lloyd 1982; as an initialisation of codebooks SoundStream (arXiv:2107.03312) and others.
    """

    steps: int = 10
    rows_per_code: int = 64

    def __post_init__(self) -> None:
        at_least("steps of KMeans", self.steps, 0)
        at_least("rows_per_code of KMeans", self.rows_per_code, 2)

    def __call__(self, rows: Tensor, valid: Valid, codebook_size: int, key: Key) -> Tensor:
        start = Sample()(rows, valid, codebook_size, key)
        most = valid.max_total()
        if most < 2 * codebook_size:
            return start
        size = min(most, self.rows_per_code * codebook_size)
        positions, fresh = key.strata(Purpose.SAMPLE, valid.total, size)
        sample = valid.take_from_all(rows, positions[0])
        codes = lloyd(sample, start, steps=self.steps, weights=fresh)
        return torch.where(valid.total < 2 * codebook_size, start, codes)
