"""What makes the IDs of a catalogue differ, which takes all of its vectors: balancing, and one more token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from codeword.fitting import balance
from codeword.quantizers.composite import Residual
from codeword.tokenizers import VectorTokenizer
from codeword.tokens import Header
from codeword.workbench.data.vectors import Block
from codeword.workbench.semantic_ids.partitions import ROWS, groups_of, parts_of

__all__ = ["balance_", "without_numbers"]

GROUPED = 2**11  # vectors that are balanced at once
NUMBERS = 2**27  # of vectors that are in memory: 512 MiB


def without_numbers(header: Header, tokens: np.ndarray, trailing_shape: tuple[int, ...]) -> np.ndarray:
    """The quantizer's own indices of IDs that have one more token (`--dedupe`); of other tokens all.

    Args:
        header: of their file.
        tokens: (items, *grid, *trailing_shape), as the file says.
        trailing_shape: of the quantizer's indices.
    """
    return tokens[:, :-1].reshape(-1, *trailing_shape) if header.facts.get("deduped") else tokens


def balance_(
    indices: np.ndarray,
    blocks: Callable[[], Iterable[Block]],
    tokenizer: VectorTokenizer,
    rows: int = ROWS,
    numbers: int = NUMBERS,
) -> None:
    """Choose last indices anew where vectors collide, as `codeword.fitting.balance`.

    The vectors that collide, and those that have the same indices but for the last, are read as often as needed to have
    about half a GiB of them in memory at a time.

    Args:
        indices: of all vectors (N, stages), changed in place.
        blocks: gives the vectors.
        tokenizer: that of the indices, around a residual quantizer.
        rows: of a part of the indices.
        numbers: of the vectors in memory, about.
    """
    most = max(1, numbers // tokenizer.size)
    waiting: list[_Concerned] = []
    for where in parts_of(indices, rows):
        found = _concerned(indices[where])
        if len(found.order):
            waiting.append(found._replace(order=where[found.order]))
        if sum(len(one.order) for one in waiting) >= most:
            _balance_some(indices, waiting, blocks(), tokenizer)
            waiting = []
    if waiting:
        _balance_some(indices, waiting, blocks(), tokenizer)


class _Concerned(NamedTuple):
    """Rows with the same indices but for the last, one group after the other, where any two collide."""

    order: np.ndarray
    ends: np.ndarray
    """Of the groups."""


def _concerned(ids: np.ndarray) -> _Concerned:
    whole = groups_of(ids)
    collides = np.zeros(len(ids), bool)
    collides[whole.order] = np.repeat(whole.sizes > 1, whole.sizes)
    alike = groups_of(ids[:, :-1])
    some = np.logical_or.reduceat(collides[alike.order], alike.starts[:-1]) if len(ids) else np.zeros(0, bool)
    return _Concerned(alike.order[np.repeat(some, alike.sizes)], alike.sizes[some].cumsum())


def _balance_some(
    indices: np.ndarray, concerned: list[_Concerned], blocks: Iterable[Block], tokenizer: VectorTokenizer
) -> None:
    wanted = np.sort(np.concatenate([one.order for one in concerned]))
    members = _gather(wanted, blocks, tokenizer.size)
    assert isinstance(tokenizer.quantizer, Residual)
    for one in concerned:
        for begin, end in _pieces(one.ends):
            some = one.order[begin:end]
            standard = tokenizer.standard(torch.from_numpy(members[np.searchsorted(wanted, some)]))
            given = torch.from_numpy(indices[some].astype(np.int64))
            indices[some] = balance(tokenizer.quantizer, standard, given).numpy()


def _gather(wanted: np.ndarray, blocks: Iterable[Block], features: int) -> np.ndarray:
    """Some of the usable vectors, by their numbers in growing order."""
    members, first, done = np.empty((len(wanted), features), np.float32), 0, 0
    for block in blocks:
        end = int(np.searchsorted(wanted, first + len(block.rows)))
        members[done:end] = block.rows[wanted[done:end] - first]
        first, done = first + len(block.rows), end
    return members


def _pieces(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Begin and end of pieces of some thousand rows that end where groups do."""
    begin = 0
    for end in ends.tolist():
        if end - begin >= GROUPED or end == ends[-1]:
            yield begin, end
            begin = end
