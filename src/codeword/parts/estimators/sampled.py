"""Codes drawn from a softmax over the scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.functional import Draws, Stream, Valid, over_blocks
from codeword.parts.axes import Choice, Estimator, Metric, positions
from codeword.parts.checks import at_least

__all__ = ["Sampled", "draw"]


@dataclass(frozen=True)
class Sampled(Estimator):
    """In training the code is drawn, P(k | x) ~ exp(score_k / temperature), and gradients go straight through.

    The score is -|x - c_k|^2, the cosine, or the product, as the metric says. `encode`, and `forward` in eval, take
    the nearest code. To lower the temperature as training goes on use `codeword.anneal`.

    Args:
        temperature: above 0; towards 0 the nearest code is all but certain.

    Source: the stochastic sampling of RQ-VAE, Lee et al. 2022 (arXiv:2203.01941), section 3.1.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        at_least("temperature of Sampled", self.temperature, 1e-12)

    def select(self, rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, draws: Draws) -> Tensor:
        return draw(rows, codes, metric, valid, draws, 1 / self.temperature)

    def surrogate(self, choice: Choice) -> Tensor:
        return choice.rows


def draw(rows: Tensor, codes: Tensor, metric: Metric, valid: Valid, draws: Draws, sharpness: float) -> Tensor:
    """Indices (N,) drawn by P(k | x) ~ exp(sharpness score_k), one uniform number for each row."""

    def invert(block: Tensor, uniform: Tensor) -> Tensor:
        share = (sharpness * metric.scores(block, codes)).softmax(-1).cumsum(-1)
        found = torch.searchsorted(share, uniform * share[:, -1:], right=True)
        return found[:, 0].clamp_max(len(codes) - 1)

    uniform = draws.uniform_at(Stream.SELECT, positions(valid), 1).to(rows.dtype)
    with torch.no_grad():
        return torch.cat(over_blocks(invert, rows, len(codes), uniform))
