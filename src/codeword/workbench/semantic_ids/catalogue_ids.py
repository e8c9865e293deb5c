"""What makes the IDs of a catalogue differ, which takes all of its vectors at once: balancing, and one more token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from codeword.fitting import balance
from codeword.quantizers.composite import Residual
from codeword.tokenizers import VectorTokenizer
from codeword.tokens import Header
from codeword.workbench.data.vectors import Block

__all__ = ["balance_", "number_equals", "without_numbers"]

GROUPED = 2**11  # vectors that are balanced at once


def number_equals(rows: Tensor) -> Tensor:
    """The number of each row among those that are equal to it, in their order, from 0.

    Examples:
        >>> number_equals(torch.tensor([[1, 2], [3, 4], [1, 2], [1, 2]]))
        tensor([0, 0, 1, 2])
    """
    _, which, counts = rows.long().unique(dim=0, return_inverse=True, return_counts=True)
    order = which.argsort(stable=True)
    starts = (counts.cumsum(0) - counts)[which[order]]
    places = torch.arange(len(rows), dtype=torch.int64, device=order.device)
    return torch.empty_like(order).scatter_(0, order, places - starts)


def without_numbers(header: Header, tokens: np.ndarray, trailing_shape: tuple[int, ...]) -> np.ndarray:
    """The quantizer's own indices of IDs that have one more token (`--dedupe`); of other tokens all.

    Args:
        header: of their file.
        tokens: (items, *grid, *trailing_shape), as the file says.
        trailing_shape: of the quantizer's indices.
    """
    return tokens[:, :-1].reshape(-1, *trailing_shape) if header.facts.get("deduped") else tokens


def balance_(indices: np.ndarray, blocks: Iterable[Block], tokenizer: VectorTokenizer) -> None:
    """Choose last indices anew where vectors collide, as `codeword.fitting.balance`.

    The vectors that collide, and those that have the same indices but for the last, are in memory.

    Args:
        indices: of all vectors (N, stages), changed in place.
        blocks: the vectors.
        tokenizer: that of the indices, around a residual quantizer.
    """
    whole = torch.from_numpy(indices).long()
    _, prefix = whole[:, :-1].unique(dim=0, return_inverse=True)
    _, which, counts = whole.unique(dim=0, return_inverse=True, return_counts=True)
    concerned = torch.isin(prefix, prefix[counts[which] > 1]).numpy()
    rows, first = [], 0
    for block in blocks:
        rows.append(block.rows[concerned[first : first + len(block.rows)]])
        first += len(block.rows)
    places = np.flatnonzero(concerned)
    order = prefix[places].argsort(stable=True).numpy()
    members, groups = np.concatenate(rows), prefix[places].numpy()[order]
    for begin, end in _pieces(groups):
        some = order[begin:end]
        standard = tokenizer.standard(torch.from_numpy(members[some]))
        assert isinstance(tokenizer.quantizer, Residual)
        indices[places[some]] = balance(tokenizer.quantizer, standard, whole[places[some]]).numpy()


def _pieces(groups: np.ndarray) -> Iterator[tuple[int, int]]:
    """Begin and end of pieces of some thousand rows that end where groups of equal numbers do."""
    ends = [*(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)] if len(groups) else []
    begin = 0
    for number, end in enumerate(ends):
        if end - begin >= GROUPED or number == len(ends) - 1:
            yield begin, end
            begin = end
