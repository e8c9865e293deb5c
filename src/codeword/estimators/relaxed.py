"""Estimators that differentiate a softmax over all codes: Gumbel-softmax and ReinMax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codeword.axes import Estimator, Lookup, Metric
from codeword.checks import at_least
from codeword.estimators.sampled import Logits, draw
from codeword.functional import Key, Purpose, Valid, over_blocks

__all__ = ["Gumbel", "ReinMax"]


@dataclass(frozen=True)
class _Relaxed(Estimator):
    """The base of both: they draw the code from a softmax of logits."""

    temperature: float = 1.0
    scale: float = 1.0
    relative: bool = False
    lowest_temperature: ClassVar[float] = 1e-12
    single_lookup_only = True
    trains_codes = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        at_least(f"temperature of {name}", self.temperature, self.lowest_temperature)
        at_least(f"scale of {name}", self.scale, 1e-12)

    @property
    def logits(self) -> Logits:
        return Logits(self.scale, self.relative)


@dataclass(frozen=True)
class Gumbel(_Relaxed):
    """In training the code is drawn, and gradients are those of a softmax with the same Gumbel noise.

    With logits a_k = scale score_k and Gumbel noise g_k:

        k = argmax_k (a_k + g_k)        ds = d sum_k softmax((a + g) / temperature)_k c_k

    The value is the drawn code (the "hard" form). Forward and backward compute all pairs of rows and codes, in blocks,
    which is slow for large codebooks.

    Args:
        temperature: of the relaxation, above 0. High: smooth and biased; low: sharp and noisy. See
            `codeword.models.anneal`.
        scale: of the logits, above 0. The score is -|x - c_k|^2, the cosine, or the product, as the metric says.
        relative: whether the logits of each row are over the squared distance of its nearest code, held constant, so
            that the unit of the data does not matter (our own).

    Source: Jang et al. 2017 (arXiv:1611.01144); Maddison et al. 2017 (arXiv:1611.00712).
    """

    def select(self, rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, key: Key) -> Tensor:
        def noisiest(block: Tensor, place: Tensor) -> Tensor:
            return self._noisy(block, codes, metric, place, key).argmax(-1)

        with torch.no_grad():
            return torch.cat(over_blocks(noisiest, rows, len(codes), valid.positions()))

    def surrogate(self, lookup: Lookup) -> Tensor:
        codes, metric = lookup.codes(), lookup.metric
        outputs = metric.output(codes)
        return self.relaxed(lookup.rows, codes, metric, outputs, lookup.valid, lookup.key) + lookup.q

    def relaxed(
        self, rows: Tensor, codes: Tensor, metric: Metric, outputs: Tensor, valid: Valid, key: Key
    ) -> Tensor:
        """The mean (N, D) of the outputs (K, D) of the codes, held constant, by the softmax with noise."""
        outputs = outputs.detach()

        def mean(block: Tensor, place: Tensor) -> Tensor:
            return (self._noisy(block, codes, metric, place, key) / self.temperature).softmax(-1) @ outputs

        return torch.cat(over_blocks(mean, rows, len(codes), valid.positions()))

    def _noisy(self, rows: Tensor, codes: Tensor, metric: Metric, place: Tensor, key: Key) -> Tensor:
        uniform = key.uniform_at(Purpose.GUMBEL, place, len(codes)).to(rows.dtype)
        return self.logits(rows, codes, metric) - (-uniform.log()).log()


@dataclass(frozen=True)
class ReinMax(_Relaxed):
    """In training the code is drawn, and gradients are second-order accurate in the logits.

    With logits a_k = scale score_k, p = softmax(a), D the one-hot drawn code and
    p1 = (softmax(a / temperature) + D) / 2:

        k ~ p        ds = sum_k c_k (2 J(p1) - J(p) / 2) da,    J(p) = diag(p) - p p^T

    The value is the drawn code. Forward and backward compute all pairs of rows and codes, in blocks.

    Args:
        temperature: 1 or more.
        scale: of the logits, above 0. The score is -|x - c_k|^2, the cosine, or the product, as the metric says.
        relative: whether the logits of each row are over the squared distance of its nearest code, held constant, so
            that the unit of the data does not matter (our own).

    Source: Liu et al. 2023 (arXiv:2304.08612), algorithm 2.
    """

    lowest_temperature = 1

    def select(self, rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, key: Key) -> Tensor:
        return draw(rows, codes, metric, valid, key, self.logits)

    def surrogate(self, lookup: Lookup) -> Tensor:
        codes = lookup.codes()
        numbers = torch.arange(len(codes), device=codes.device)

        def second_order(block: Tensor, index: Tensor) -> Tensor:
            logits = self.logits(block, codes, lookup.metric)
            drawn = (index[:, None] == numbers).to(logits.dtype)  # one_hot waits for the device
            p1 = ((logits / self.temperature).softmax(-1) + drawn).detach() / 2
            offset = p1.clamp_min(torch.finfo(p1.dtype).tiny).log() - logits.detach()
            weights = 2 * (logits + offset).softmax(-1) - logits.softmax(-1) / 2
            return weights @ lookup.metric.output(codes).detach()

        return torch.cat(over_blocks(second_order, lookup.rows, len(codes), lookup.indices)) + lookup.q
