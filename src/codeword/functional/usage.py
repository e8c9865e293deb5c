"""How a codebook is used: counted over indices, summarised as a few numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["Usage", "UsageCounter", "usage", "usage_of_counts"]


class Usage(NamedTuple):
    """The use of a codebook of K codes, over everything counted.

    Attributes:
        perplexity: 2^entropy, the number of equally likely codes with the same entropy: 1 to K. 0 if nothing was
            counted.
        used: how many codes were hit at least once.
        dead: K - used.
        entropy: -sum p log2 p of the shares p of the codes, in bits.
        revived: how many codes were replaced by data (0 for plain indices).
    """

    perplexity: Tensor
    used: Tensor
    dead: Tensor
    entropy: Tensor
    revived: Tensor


def usage_of_counts(counts: Tensor, revived: Tensor | None = None) -> Usage:
    """Summarise the counts (..., K) of each code: every field has shape (...)."""
    total = counts.sum(-1)
    share = counts.to(torch.float64) / total.clamp_min(1)[..., None]
    entropy = -torch.special.xlogy(share, share).sum(-1).div(math.log(2)).to(torch.float32) + 0.0
    used = (counts > 0).sum(-1)
    perplexity = torch.where(total > 0, 2**entropy, 0.0)
    return Usage(
        perplexity,
        used,
        counts.shape[-1] - used,
        entropy,
        torch.zeros_like(used) if revived is None else revived,
    )


class UsageCounter:
    """Counts indices batch by batch, so that usage is that of a whole data set.

    Examples:
        >>> counter = UsageCounter(4)
        >>> counter.add(torch.tensor([0, 0, 1]))
        >>> counter.add(torch.tensor([1, -1]))  # -1: masked, not counted
        >>> counter.usage().perplexity
        tensor(2.)
    """

    def __init__(self, codebook_size: int) -> None:
        self.codebook_size = codebook_size
        self.counts = torch.zeros(codebook_size, dtype=torch.int64)

    def add(self, indices: Tensor) -> None:
        """Count indices of any shape; -1 (masked) is left out.

        Raises:
            CodewordError: an index is outside -1 <= index < codebook_size.
        """
        flat = indices.detach().reshape(-1).cpu().long()
        if len(flat) and not (int(flat.min()) >= -1 and int(flat.max()) < self.codebook_size):
            raise CodewordError.of(
                f"indices from -1 to {self.codebook_size - 1}",
                f"{int(flat.min())} to {int(flat.max())}",
                "pass the codebook size that the indices were made with",
            )
        self.counts += torch.bincount(flat + 1, minlength=self.codebook_size + 1)[1:]

    def usage(self) -> Usage:
        """The summary of all that was added."""
        return usage_of_counts(self.counts)


def usage(indices: Tensor, codebook_size: int) -> Usage:
    """How the indices use a codebook.

    Args:
        indices: integers of any shape; -1 is left out.
        codebook_size: K.

    Examples:
        >>> used = usage(torch.tensor([0, 1, 2, 3]), codebook_size=8)
        >>> used.perplexity, used.used, used.entropy
        (tensor(4.), tensor(4), tensor(2.))
    """
    counter = UsageCounter(codebook_size)
    counter.add(indices)
    return counter.usage()
