"""Functions of rows and codes that need all N x K pairs, in blocks of rows: never all of them in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from codeword.torch_versions import is_exporting

__all__ = ["over_blocks", "split_rows"]

PAIRS = 2**22  # of a row and a code at once: 16 MiB in float32 for each tensor of that size
CACHED_PAIRS = 2**18  # on a processor a block stays in its cache: up to 5 times as fast as going to memory


def over_blocks(function: Callable[..., Any], rows: Tensor, width: int, *others: Tensor) -> list[Any]:
    """The results of `function(block of rows, block of each of others)`, block by block.

    In the backward pass each of several blocks is computed anew, so that between the two passes nothing of size
    N x `width` is kept either.

    Args:
        function: differentiable in whatever it refers to.
        rows: (N, D).
        width: how many pairs a row has, K.
        others: tensors (N, ...) that are cut like the rows.

    Examples:
        >>> rows = torch.ones(5, 2)
        >>> torch.cat(over_blocks(lambda block: 2 * block, rows, 7)).shape
        torch.Size([5, 2])
    """
    if is_exporting():  # a program for any number of rows has one block; it takes no gradients
        return [function(rows, *others)]
    size = max(1, _pairs(rows) // width)
    if len(rows) <= size:  # one block is little enough to keep
        return [function(rows, *others)]
    blocks = list(zip(*(tensor.split(size) for tensor in (rows, *others)), strict=True))
    if not torch.is_grad_enabled():
        return [function(*block) for block in blocks]
    return [checkpoint(function, *block, use_reentrant=False, preserve_rng_state=False) for block in blocks]


def split_rows(rows: Tensor, size: int) -> Sequence[Tensor]:
    """Blocks of `size` rows; one block in a program of torch.export, which is for any number of rows.

    Examples:
        >>> [len(block) for block in split_rows(torch.ones(5, 2), 2)]
        [2, 2, 1]
    """
    return [rows] if is_exporting() else rows.split(size)


def _pairs(rows: Tensor) -> int:
    """A compiled graph holds every block, so it gets few, as does a device that is slow to start."""
    in_cache = rows.device.type == "cpu" and not torch.compiler.is_compiling()
    return CACHED_PAIRS if in_cache else PAIRS
