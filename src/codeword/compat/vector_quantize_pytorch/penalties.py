"""Losses of the original over all pairs of rows and codes. The logits are minus the distance, or the cosine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codeword.axes import Lookup, Penalty
from codeword.functional import over_blocks, squared_error

__all__ = ["CodeDiversity", "Pull"]


@dataclass(frozen=True)
class Pull(Penalty):
    """The mean of (x - q)^2, with gradient to both sides: the commitment of codes that learn by gradient."""

    weight: float = 1.0
    name: ClassVar[str] = "commitment"
    trains_codes = True
    of_pairs = True

    def __call__(self, lookup: Lookup) -> Tensor:
        return squared_error(lookup.rows, lookup.q, lookup.valid.weights(lookup.rows.dtype))


@dataclass(frozen=True)
class CodeDiversity(Penalty):
    """-H(mean softmax(temperature logits)): minus the entropy of the mean over all rows of the batch.

    Args:
        weight: of this term in the layer's loss.
        temperature: that logits are multiplied by.
    """

    weight: float = 1.0
    temperature: float = 100.0
    name: ClassVar[str] = "diversity"
    trains_codes = True

    def __call__(self, lookup: Lookup) -> Tensor:
        codes = lookup.codes()

        def shares(block: Tensor, weights: Tensor) -> Tensor:
            return weights @ (self.temperature * lookup.metric.logits(block, codes)).softmax(-1)

        weights = lookup.valid.weights(lookup.rows.dtype)
        mean = torch.stack(over_blocks(shares, lookup.rows, len(codes), weights)).sum(0)
        return (mean * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()).sum()
