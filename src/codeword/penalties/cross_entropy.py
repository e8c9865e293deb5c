"""The cross-entropy of a softmax over distances: as a penalty, and as a loss for given codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from codeword.axes import Lookup, Metric, Penalty
from codeword.functional import over_blocks

__all__ = ["CrossEntropy", "cross_entropy"]


@dataclass(frozen=True)
class CrossEntropy(Penalty):
    """Makes rows certain of their codes: the mean of -log p(k | x) at the code k of each row, in nats.

    p(k | x) is the softmax of -|x - c_k|, or of the cosine or the product. Unlike `Commitment` it also pushes a row
    away from the other codes. It computes all pairs of rows and codes, in blocks of bounded memory.

    Args:
        weight: of this term in the quantizer's `loss`.

    Source: the loss over distances of NaturalSpeech 2, Shen et al. 2023 (arXiv:2304.09116), section 3.2.
    """

    weight: float = 1.0
    name: ClassVar[str] = "cross_entropy"
    trains_codes = True

    def __call__(self, lookup: Lookup) -> Tensor:
        weights = lookup.valid.weights(lookup.rows.dtype)
        return cross_entropy(lookup.rows, lookup.codes(), lookup.metric, lookup.indices, weights)


def cross_entropy(rows: Tensor, codes: Tensor, metric: Metric, indices: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum over rows of -log softmax(logits) at the indices, except index -1.

    Args:
        rows: (N, D).
        codes: (K, D).
        metric: whose logits they are.
        indices: (N,) of codes.
        weights: (N,).
    """

    def blockwise(block: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
        logits = metric.logits(block, codes)
        return share @ functional.cross_entropy(logits, wanted, ignore_index=-1, reduction="none")

    return torch.stack(over_blocks(blockwise, rows, len(codes), indices, weights)).sum()
