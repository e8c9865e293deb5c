"""What quantizers learn from: trees of tensors, as quantizers are trees of quantizers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from codeword import distributed

__all__ = ["Kept", "Statistics", "exchange"]

Statistics: TypeAlias = "Tensor | tuple[Statistics, ...] | None"  # a tuple for a quantizer made of quantizers
Kept: TypeAlias = "Tensor | tuple[Kept, ...] | None"


def exchange(statistics: Statistics) -> Statistics:
    """The sum over all ranks of every tensor of a tree, in one collective.

    Example:
        >>> exchange((torch.ones(2), None, (torch.zeros(1),)))
        (tensor([1., 1.]), None, (tensor([0.]),))
    """
    leaves = list(_leaves(statistics))
    if not leaves:
        return statistics
    total = distributed.sum_(torch.cat([leaf.reshape(-1) for leaf in leaves]))
    parts = total.split([leaf.numel() for leaf in leaves])
    return _replace(statistics, zip(leaves, parts, strict=True))


def _leaves(tree: Statistics) -> Iterator[Tensor]:
    if isinstance(tree, tuple):
        for branch in tree:
            yield from _leaves(branch)
    elif tree is not None:
        yield tree


def _replace(tree: Statistics, leaves: Iterator[tuple[Tensor, Tensor]]) -> Statistics:
    if isinstance(tree, tuple):
        return tuple(_replace(branch, leaves) for branch in tree)
    if tree is None:
        return None
    leaf, summed = next(leaves)
    return summed.view(leaf.shape)
