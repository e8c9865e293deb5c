"""Entropies of random bits, for codes that are all combinations of bits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.constants import bit_table
from codeword.functional.blocked import over_blocks
from codeword.functional.losses import sum_of

__all__ = ["bit_entropy"]


def bit_entropy(logits: Tensor, weights: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Two entropies of random bits, in nats: the mean of the rows' entropies, and the entropy of their mean.

    Each bit is 1 with probability sigmoid(logit), by itself, so the entropy of a row's code is the sum of its bits',
    exactly. The entropy of the mean over rows is taken for groups of bits, each over its 2^group combinations, and
    summed: an upper bound for all bits together, exact where one group holds them all.

    Args:
        logits: (N, B), differentiable.
        weights: (N,) of the rows: `Valid.weights`.
        group: how many bits are taken together; the last group may be smaller.

    Returns:
        the mean over rows of their entropies, and the entropy of the mean; both 0 if all weights are.

    Source: Zhao et al. 2024, BSQ, equations 11 and 12 (arXiv:2406.07548).

    Examples:
        >>> sure = torch.tensor([[9e9, 9e9], [-9e9, -9e9]])
        >>> each, together = bit_entropy(sure, torch.tensor([0.5, 0.5]), group=2)
        >>> float(each), float(together.exp())
        (0.0, 2.0)
    """
    fixed = logits.detach()
    # The entropy of a bit is softplus(l) - l p, p = sigmoid(l); its gradient is that of -l p with l held.
    each = (F.softplus(fixed) - fixed * logits.sigmoid()).sum(-1) @ weights
    mean = torch.cat([_mean_shares(part, weights) for part in logits.split(group, 1)])
    # -sum m log m; the gradient of the logarithms vanishes, because the shares always add up to the same.
    return each, mean @ -mean.detach().clamp_min(1e-30).log()


def _mean_shares(logits: Tensor, weights: Tensor) -> Tensor:
    """The mean probabilities (2^b,) of the combinations of the bits of rows (N, b)."""
    table = bit_table(logits.shape[1], logits.device, logits.dtype)

    def weighed(block: Tensor, weight: Tensor) -> Tensor:
        return weight @ (block @ table.T).softmax(-1)  # a product of sigmoids is a softmax

    return sum_of(over_blocks(weighed, logits, len(table), weights))
