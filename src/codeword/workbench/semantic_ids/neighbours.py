"""Whether similar items have IDs with a common prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.catalogue import Catalogue

__all__ = ["hashes_of", "neighbours_kept"]

Track = Callable[[Iterable[Block], str], Iterable[Block]]


def neighbours_kept(
    catalogue: Catalogue,
    vectors: VectorStream,
    *,
    queries: int = 1000,
    k: int = 10,
    track: Track = lambda blocks, what: blocks,
) -> dict[str, Any]:
    """How many of the k nearest vectors of some items have IDs with the same first 1, 2, ... tokens.

    A hash of the names draws the items, so the order of the files does not matter. Vectors are read twice and searched
    exactly, by the Euclidean distance in float64. Vectors of items without an ID are left out.

    Args:
        catalogue: of the IDs.
        vectors: of its items, by their names.
        queries: how many items.
        k: how many neighbours.
        track: wraps the stream of blocks, to show progress.

    Returns:
        as plain values: queries, k, and for each number of first tokens the share of the neighbours that have them.

    Raises:
        CodewordError: fewer than two vectors of items of the catalogue.
    """
    for name, value in (("queries", queries), ("k", k)):
        if value < 1:
            raise CodewordError.of(f"{name} of at least 1", f"{value}", f"raise {name}")
    asked = _draw(track(vectors.blocks(), "drawing items"), queries)
    near = _search(track(vectors.blocks(), "searching neighbours"), asked, k)
    names = {*asked.names, *(name for row in near for name in row)}
    tokens = catalogue.find(names)
    kept = np.zeros(len(catalogue.manifest.sizes))
    pairs = counted = 0
    for name, others in zip(asked.names, near, strict=True):
        known = [tokens[other] for other in others if other in tokens] if name in tokens else []
        if known:
            same = np.logical_and.accumulate(np.stack(known) == tokens[name], axis=1)
            kept, pairs, counted = kept + same.sum(0), pairs + len(known), counted + 1
    if not pairs:
        expected = f"vectors of items of {catalogue.folder}, by their names"
        raise CodewordError.of(expected, "no two of them", "name the rows as in the catalogue (--names)")
    return {"queries": counted, "k": k, "kept": (kept / pairs).tolist()}


def hashes_of(names: Iterable[str], seed: int = 0) -> np.ndarray:
    """A hash of each name, uint64, the same on every machine; hashes of different seeds are independent.

    Examples:
        >>> bool(hashes_of(["a", "b"])[0] == hashes_of(["b", "a"])[1])
        True
    """
    salt = seed.to_bytes(16, "little")
    digests = b"".join(blake2b(name.encode(), digest_size=8, salt=salt).digest() for name in names)
    return np.frombuffer(digests, "<u8")


class _Asked(NamedTuple):
    numbers: np.ndarray
    names: list[str]
    rows: Tensor


def _draw(blocks: Iterable[Block], count: int) -> _Asked:
    """The items whose names have the lowest hashes."""
    kept: list[tuple[int, int, str, np.ndarray]] = []
    for block in blocks:
        hashes = hashes_of(block.names)
        lowest = np.argsort(hashes, kind="stable")[:count].tolist()
        kept += [
            (int(hashes[n]), int(block.numbers[n]), block.names[n], block.rows[n].copy()) for n in lowest
        ]
        kept = sorted(kept, key=lambda one: one[:2])[:count]
    rows = torch.from_numpy(np.stack([row for *_, row in kept])).double()
    return _Asked(np.array([number for _, number, _, _ in kept]), [name for _, _, name, _ in kept], rows)


def _search(blocks: Iterable[Block], asked: _Asked, k: int) -> list[list[str]]:
    """The names of the k nearest of each, without itself."""
    best = torch.full((len(asked.names), 0), torch.inf, dtype=torch.float64)
    found = torch.zeros(len(asked.names), 0, dtype=torch.int64)
    names: dict[int, str] = {}
    centre = asked.rows.mean(0)
    queries = asked.rows - centre
    for block in blocks:
        if not len(block.rows):
            continue
        rows, numbers = torch.from_numpy(block.rows).double() - centre, torch.from_numpy(block.numbers)
        distances = queries.square().sum(1)[:, None] + rows.square().sum(1) - 2 * queries @ rows.T
        distances[torch.from_numpy(asked.numbers)[:, None] == numbers] = torch.inf  # each itself
        here = distances.topk(min(k, len(rows)), largest=False)
        best = torch.cat([best, here.values], 1)
        found = torch.cat([found, numbers[here.indices]], 1)
        kept = best.topk(min(k, best.shape[1]), largest=False)
        best, found = kept.values, found.gather(1, kept.indices)
        first = {number: place for place, number in enumerate(block.numbers.tolist())}
        wanted = found.unique().tolist()
        names = {
            n: block.names[first[n]] if n in first else names[n] for n in wanted if n in first or n in names
        }
    finite = best.isfinite()
    return [
        [names[n] for n, good in zip(row.tolist(), goods.tolist(), strict=True) if good]
        for row, goods in zip(found, finite, strict=True)
    ]
