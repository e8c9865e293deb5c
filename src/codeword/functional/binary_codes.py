"""Independent random bits, and the codes that they form together."""

from __future__ import annotations

from math import log

from torch import Tensor
from torch.nn import functional

from codeword.constants import bit_table, constant

__all__ = ["bits_to_codes", "code_chances", "free_divergence"]


def bits_to_codes(bits: Tensor) -> Tensor:
    """The numbers (...,) int64 of bits (..., B), the first the least significant.

    Examples:
        >>> import torch
        >>> bits_to_codes(torch.tensor([[True, False, True]]))
        tensor([5])
    """
    worth = constant(tuple(2**place for place in range(bits.shape[-1])), bits.device)
    return (bits.long() * worth).sum(-1)


def code_chances(logits: Tensor) -> Tensor:
    """The probability (..., 2^B) of every code; each bit is 1 with probability sigmoid(logit), logits (..., B).

    Source: Fleuret 2025, "The Free Transformer" (arXiv:2510.17558), the binary mapper.

    Examples:
        >>> import torch
        >>> code_chances(torch.tensor([0.0, 100.0])).round(decimals=3).tolist()
        [0.0, 0.0, 0.5, 0.5]
    """
    table = bit_table(logits.shape[-1], logits.device, logits.dtype)
    return (logits.flip(-1) @ table.T).softmax(-1)  # a product of sigmoids is a softmax


def free_divergence(logits: Tensor, free: float) -> Tensor:
    """relu(KL - free) (...,) in nats, where KL = B log 2 - H(bits) is how far bits are from even ones.

    Args:
        logits: (..., B).
        free: the nats without a penalty.

    Source: as for `code_chances`; free bits of Kingma et al. 2016 (arXiv:1606.04934).
    """
    entropy = (functional.softplus(logits) - logits * logits.sigmoid()).sum(-1)
    return (logits.shape[-1] * log(2) - entropy - free).relu()
