"""The nearest code, with a penalty for the bits of rare codes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from codeword.axes import Metric
from codeword.checks import at_least
from codeword.functional import Prepared
from codeword.metrics.euclidean import Euclidean

__all__ = ["EntropyConstrained"]


@dataclass(frozen=True)
class EntropyConstrained(Metric):
    """k = argmin_k |x - c_k|^2 + weight b_k, with b_k = -log2(N_k / sum N) the bits of the code: distortion and rate.

    N are the running counts of the update rule, so b_k is the cost of code k for an entropy coder. Different weights
    give a curve of error over entropy. At the same entropy the error is smaller than that of a plain codebook with
    fewer codes. The counts do not change in eval, and are saved with the codes.

    A rare code has more bits, is chosen less, and falls out of use. This lowers the rate, so a codebook should have
    more codes than its entropy requires. The search is that of the Euclidean metric with another offset for each code.
    `scores` contain only the distance, so penalties that use them ignore the rate. Estimators that draw codes, and
    rules that keep no counts, raise an error.

    Args:
        weight: the increase of the squared error of a vector that is worth one bit, in squared units of the data. 0 is
            `Euclidean`.

    Raises:
        CodewordError: a negative weight.

    Source: Chou, Lookabaugh and Gray 1989, "Entropy-constrained vector quantization".

    Examples:
        >>> metric = EntropyConstrained(1.0)
        >>> codes, counts = torch.tensor([[0.0], [2.0]]), torch.tensor([7.0, 1.0])
        >>> prepared = metric.weigh(metric.prepare(codes), counts)
        >>> metric.assign(torch.tensor([[1.5], [1.8]]), prepared)  # 2.25 + 0.19 < 0.25 + 3, but 3.24 + 0.19 > 0.04 + 3
        tensor([0, 1])
    """

    weight: float = 0.1
    prepares_together = True
    uses_counts = True

    def __post_init__(self) -> None:
        at_least("weight of EntropyConstrained", self.weight, 0)

    def prepare(self, codes: Tensor) -> Prepared:
        return Euclidean().prepare(codes)

    def weigh(self, prepared: Prepared, cluster_size: Tensor) -> Prepared:
        size = cluster_size.clamp_min(torch.finfo(cluster_size.dtype).tiny)
        # Bits beyond those of the shortest code: what all have in common would only cost digits.
        bits = (size.amax(-1, keepdim=True).log() - size.log()) / math.log(2)
        padding = prepared.offsets.shape[-1] - bits.shape[-1]  # of packed codes: it is never chosen
        offsets = prepared.offsets - self.weight / 2 * functional.pad(bits, (0, padding))
        return prepared._replace(offsets=offsets)

    def assign(self, rows: Tensor, prepared: Prepared) -> Tensor:
        return Euclidean().assign(rows, prepared)

    def scores(self, rows: Tensor, codes: Tensor) -> Tensor:
        return Euclidean().scores(rows, codes)

    def logits(self, rows: Tensor, codes: Tensor) -> Tensor:
        return Euclidean().logits(rows, codes)
