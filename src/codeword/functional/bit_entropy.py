"""Entropies of soft bits, for codes that are all combinations of bits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.functional.blocked import over_blocks
from codeword.functional.valid import Valid

__all__ = ["bit_entropy"]


def bit_entropy(logits: Tensor, valid: Valid, group: int) -> tuple[Tensor, Tensor]:
    """How sure each row is of its code, and how evenly all of them use the codes: two entropies, in nats.

    Each bit is 1 with probability sigmoid(logit), by itself, so the entropy of a row's code is the sum of its bits',
    exactly. The entropy of the mean over rows is taken for groups of bits, each over its 2^group combinations, and
    summed: an upper bound for all bits together, exact where one group holds them all.

    Args:
        logits: (N, B), differentiable.
        valid: which rows count.
        group: how many bits are taken together; the last group may be smaller.

    Returns:
        the mean over rows of their entropies, and the entropy of the mean; both 0 without a valid row.

    Source: Zhao et al. 2024, BSQ, equations 11 and 12 (arXiv:2406.07548).

    Examples:
        >>> sure = torch.tensor([[9e9, 9e9], [-9e9, -9e9]])
        >>> each, together = bit_entropy(sure, Valid.of(torch.tensor([True, True])), group=2)
        >>> float(each), float(together.exp())
        (0.0, 2.0)
    """
    weights = valid.weights(logits.dtype)
    each = (F.softplus(logits) - logits * logits.sigmoid()).sum(-1) @ weights
    together = [_entropy_of_mean(part, weights) for part in logits.split(group, 1)]
    return each, torch.stack(together).sum()


def _entropy_of_mean(logits: Tensor, weights: Tensor) -> Tensor:
    codes = 2 ** logits.shape[1]
    sums = over_blocks(_weighed_codes, logits, codes, weights)
    mean = torch.stack(sums).sum(0)
    return -torch.special.xlogy(mean, mean.clamp_min(1e-30)).sum()


def _weighed_codes(logits: Tensor, weights: Tensor) -> Tensor:
    """The sum over rows (N, b) of the probabilities of the 2^b combinations."""
    ones = logits.sigmoid()
    joint = torch.ones_like(ones[:, :1])
    for bit in ones.unbind(1):
        joint = (joint[:, :, None] * torch.stack([1 - bit, bit], -1)[:, None]).flatten(1)
    return weights @ joint
