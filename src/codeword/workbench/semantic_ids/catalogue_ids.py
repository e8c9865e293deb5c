"""Balancing and the extra token (`--dedupe`), which make the IDs of a catalogue differ and need all of its vectors."""

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
NUMBERS = 2**27  # numbers of the vectors in memory: 512 MiB


def without_numbers(header: Header, tokens: np.ndarray, trailing_shape: tuple[int, ...]) -> np.ndarray:
    """The quantizer's own indices, without the extra token (`--dedupe`) of IDs.

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
    """Change the last indices of colliding vectors, as `codeword.fitting.balance` does.

    The colliding vectors, and those that differ from them only in the last index, are read in several passes, with
    about half a GiB in memory at a time.

    Args:
        indices: of all vectors (N, stages), changed in place.
        blocks: yields the vectors.
        tokenizer: the tokenizer of the indices, with a residual quantizer.
        rows: of a part of the indices.
        numbers: about how many numbers of vectors to hold in memory.
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
    """Groups of rows that have the same indices except the last, if any two of them collide."""

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
    """Some of the usable vectors, by increasing row number."""
    members, first, done = np.empty((len(wanted), features), np.float32), 0, 0
    for block in blocks:
        end = int(np.searchsorted(wanted, first + len(block.rows)))
        members[done:end] = block.rows[wanted[done:end] - first]
        first, done = first + len(block.rows), end
    return members


def _pieces(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Begin and end of pieces of some thousand rows; no piece divides a group."""
    begin = 0
    for end in ends.tolist():
        if end - begin >= GROUPED or end == ends[-1]:
            yield begin, end
            begin = end
