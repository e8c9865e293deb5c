"""Codes sampled from a softmax over scores, and its logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Estimator, Lookup, Metric
from codeword.checks import at_least
from codeword.functional import Key, Purpose, Valid, over_blocks

__all__ = ["Logits", "Sampled", "draw"]


@dataclass  # not frozen: torch 2.11 does not trace a frozen one that is made and called within a step
class Logits:
    """a_k = scale score_k of each row and code; with `relative`, over the squared distance of the nearest code.

    Relative logits do not depend on the unit of the data: with scale 10 a code at 1.1 times the squared distance of the
    nearest is e^-1 as likely, whatever that distance is, and a row that lies on a code has that code.
    """

    scale: float
    relative: bool

    def __call__(self, rows: Tensor, codes: Tensor, metric: Metric) -> Tensor:
        """(N, K), differentiable in rows and codes; the reference distance is held constant."""
        scores = metric.scores(rows, codes)
        if not self.relative:
            return self.scale * scores
        fixed = scores.detach()  # and not no_grad, which forward derivatives pass
        best, nearest = fixed.max(-1, keepdim=True)
        error = metric.compared(rows.detach()) - metric.compared(codes.detach()[nearest[:, 0]])
        # A row that lies on its code: no less than the rounding of the scores, so that gradients stay finite.
        rounding = torch.finfo(scores.dtype).eps * (best - fixed.amin(-1, keepdim=True))
        distance = error.square().sum(-1, keepdim=True).clamp_min(rounding)
        return self.scale * (scores - best) / torch.where(distance > 0, distance, 1)


@dataclass(frozen=True)
class Sampled(Estimator):
    """In training the code is drawn, P(k | x) ~ exp(score_k / temperature), and gradients go straight through.

    The score is -|x - c_k|^2, the cosine, or the product, depending on the metric. `encode`, and `forward` in eval, use
    the nearest code. To lower the temperature during training use `codeword.models.anneal`.

    Args:
        temperature: above 0; close to 0 the nearest code is nearly certain.
        relative: multiply the temperature of each row by the squared distance to its nearest code, so that the unit
            of the data does not matter (our own).

    Source: the stochastic sampling of RQ-VAE, Lee et al. 2022 (arXiv:2203.01941), section 3.1.
    """

    temperature: float = 1.0
    relative: bool = False

    def __post_init__(self) -> None:
        at_least("temperature of Sampled", self.temperature, 1e-12)

    def select(self, rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, key: Key) -> Tensor:
        return draw(rows, codes, metric, valid, key, Logits(1 / self.temperature, self.relative))

    def surrogate(self, lookup: Lookup) -> Tensor:
        return lookup.rows


def draw(rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, key: Key, logits: Logits) -> Tensor:
    """Indices (N,) drawn by the softmax of the logits, one uniform number for each row."""

    def invert(block: Tensor, uniform: Tensor) -> Tensor:
        share = logits(block, codes, metric).softmax(-1).cumsum(-1)
        found = torch.searchsorted(share, uniform * share[:, -1:], right=True)
        return found[:, 0].clamp_max(len(codes) - 1)

    uniform = key.uniform_at(Purpose.SELECT, valid.positions(), 1).to(rows.dtype)
    with torch.no_grad():
        return torch.cat(over_blocks(invert, rows, len(codes), uniform))
