"""What quantizers learn from: trees of tensors, as quantizers are trees of quantizers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from codeword import distributed

__all__ = ["Kept", "Statistics", "exchange", "signature"]

Statistics: TypeAlias = "Tensor | tuple[Statistics, ...] | None"  # a tuple for a quantizer made of quantizers
Kept: TypeAlias = "Tensor | tuple[Kept, ...] | None"


def exchange(statistics: Statistics) -> Statistics:
    """The sum over all ranks of every tensor of a tree, in one collective.

    Examples:
        >>> exchange((torch.ones(2), None, (torch.zeros(1),)))
        (tensor([1., 1.]), None, (tensor([0.]),))
    """
    leaves = list(_leaves(statistics))
    if not leaves:
        return statistics
    total = distributed.sum_(torch.cat([leaf.reshape(-1) for leaf in leaves]))
    parts = total.split([leaf.numel() for leaf in leaves])
    return _replace(statistics, zip(leaves, parts, strict=True))


def signature(quantizer: nn.Module) -> int:
    """A number that quantizers have in common only if they are built alike and stand alike: 0 < n < 2^62.

    It is about kinds, options, sizes and whether first codes are there; not about weights.
    """
    # Not those of state_dict(), which would shard them in the middle of a forward under FSDP.
    tensors = [*quantizer.named_parameters(), *quantizer.named_buffers()]
    said: list[tuple[Any, ...]] = [(name, tuple(value.shape), str(value.dtype)) for name, value in tensors]
    for module in quantizer.modules():
        options = getattr(module, "options", dict)
        said.append((type(module).__qualname__, repr(options()), getattr(module, "ready", None)))
    text = re.sub(" at 0x[0-9a-f]+", "", repr(said))  # the places of functions in memory
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % (2**62 - 1) + 1


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
