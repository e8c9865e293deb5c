"""Losses of the original over all pairs of rows and codes: of logits that are minus the distance, or the cosine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from codeword.axes import Lookup, Metric, Penalty
from codeword.functional import over_blocks, squared_error
from codeword.metrics import Euclidean

__all__ = ["CodeDiversity", "CrossEntropy", "Pull", "cross_entropy", "logits_of"]


def logits_of(rows: Tensor, codes: Tensor, metric: Metric) -> Tensor:
    """(N, K): -|x - c|, or the cosine."""
    scores = metric.scores(rows, codes)
    if not isinstance(metric, Euclidean):
        return scores
    off = rows - codes.detach().mean(0)  # scores leave out what a row has in common with all codes
    squared = off.square().sum(-1, keepdim=True) - scores
    return -squared.clamp_min(torch.finfo(rows.dtype).tiny ** 0.5).sqrt()


def cross_entropy(rows: Tensor, codes: Tensor, metric: Metric, indices: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum over rows of -log softmax(logits) at the indices; where an index is -1, nothing.

    Args:
        rows: (N, D).
        codes: (K, D).
        metric: see `logits_of`.
        indices: (N,) of codes.
        weights: (N,).
    """

    def blockwise(block: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
        logits = logits_of(block, codes, metric)
        return share @ functional.cross_entropy(logits, wanted, ignore_index=-1, reduction="none")

    return torch.stack(over_blocks(blockwise, rows, len(codes), indices, weights)).sum()


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
class CrossEntropy(Penalty):
    """How sure a row is of its code: the mean of -log softmax(logits) at the code."""

    weight: float = 1.0
    name: ClassVar[str] = "commitment"
    trains_codes = True

    def __call__(self, lookup: Lookup) -> Tensor:
        weights = lookup.valid.weights(lookup.rows.dtype)
        return cross_entropy(lookup.rows, lookup.codes(), lookup.metric, lookup.indices, weights)


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
            return weights @ (self.temperature * logits_of(block, codes, lookup.metric)).softmax(-1)

        weights = lookup.valid.weights(lookup.rows.dtype)
        mean = torch.stack(over_blocks(shares, lookup.rows, len(codes), weights)).sum(0)
        return (mean * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()).sum()
