"""Codes drawn from the first batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Init
from codeword.functional import Key, Purpose, Valid

__all__ = ["Sample"]

# Noise on repeated rows, in standard deviations: enough to break ties, too little to lose the place.
_SPREAD = 0.01


@dataclass(frozen=True)
class Sample(Init):
    """Rows of the first batch become the codes, without repetition if there are enough rows.

    With fewer rows than codes the remaining codes are noisy copies, and revival moves them later.
    """

    def __call__(self, rows: Tensor, valid: Valid, codebook_size: int, key: Key) -> Tensor:
        positions, fresh = key.strata(Purpose.INIT, valid.total, codebook_size)
        codes = valid.take_from_all(rows, positions[0])
        noise = key.normal(Purpose.NOISE, *codes.shape).to(codes.dtype)
        spread = _SPREAD * codes.std(0, correction=0)
        return torch.where(fresh[:, None], codes, codes + spread * noise)
