"""The quality of the IDs of a catalogue: unique IDs, use of the codes, items for each prefix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from codeword.errors import CodewordError
from codeword.fitting import Collisions
from codeword.workbench.semantic_ids.catalogue import Catalogue
from codeword.workbench.semantic_ids.partitions import count_equals, groups_of, parts_of, scratch
from codeword.workbench.semantic_ids.refresh import CHURN

__all__ = ["Level", "gini", "measure_ids"]


class Level(NamedTuple):
    """One token of the IDs."""

    level: int
    """From 1."""
    codes: int
    """The number of values of the token."""
    used: int
    dead: int
    entropy: float
    """In bits."""
    entropy_share: float
    """The entropy divided by that of equally likely codes."""
    gini: float
    """0: all codes are used equally; near 1: only one is used."""
    prefixes: int
    """The number of different prefixes up to this token."""
    fan_out: float
    """The mean number of these for one prefix without this token."""
    most_fan_out: int
    items: float
    """The mean number of items that share a prefix up to this token."""
    most_items: int


def measure_ids(catalogue: Catalogue) -> dict[str, Any]:
    """Measure the IDs of all items that have one, as plain values.

    Raises:
        CodewordError: there are none.
    """
    ids, manifest = _ids(catalogue), catalogue.manifest
    if not len(ids):
        raise CodewordError.of(f"items in {catalogue.folder}", "none: all are retired", "append some")
    levels = [_level(ids, level, size) for level, size in enumerate(manifest.sizes)]
    codes = ids[:, : len(manifest.codebook_sizes)]
    return {
        "items": len(ids),
        "retired": sum(one.items for one in manifest.generations if one.action == "retire"),
        "ids": _alone(count_equals(ids)),
        "tokens_of_the_tokenizer": _alone(count_equals(codes)),
        "levels": [level._asdict() for level in levels],
        "occupancy": _occupancy(codes),
        "generations": [
            {"number": one.number, "action": one.action, "items": one.items} for one in manifest.generations
        ],
        "churn": _churn(catalogue),
    }


def gini(counts: np.ndarray) -> float:
    """The Gini coefficient: the mean difference of two counts over twice their mean.

    Examples:
        >>> gini(np.array([5, 5, 5])), gini(np.array([0, 0, 0, 12]))
        (0.0, 0.75)
    """
    counts = np.sort(counts).astype(np.float64)
    n, total = len(counts), counts.sum()
    return float((2 * (np.arange(1, n + 1) * counts).sum() / total - n - 1) / n) if total else 0.0


def _ids(catalogue: Catalogue) -> np.ndarray:
    sizes = catalogue.manifest.sizes
    ids, first = scratch((len(catalogue), len(sizes)), np.min_scalar_type(max(sizes) - 1)), 0
    for names, tokens in catalogue.batches():
        ids[first : first + len(names)] = tokens
        first += len(names)
    return ids


def _alone(found: Collisions) -> dict[str, Any]:
    share = 1 - found.share
    return {"different": found.distinct, "uniquely_identified": share, "most_with_the_same": found.largest}


def _level(ids: np.ndarray, level: int, size: int) -> Level:
    counts = np.bincount(ids[:, level], minlength=size)
    shares = counts[counts > 0] / len(ids)
    entropy = float(-(shares * np.log2(shares)).sum())
    prefixes = parents = most_items = most_children = 0
    for children, items in _below(ids[:, : level + 1]):
        parents, prefixes = parents + len(children), prefixes + len(items)
        most_children, most_items = max(most_children, int(children.max())), max(most_items, int(items.max()))
    return Level(
        level=level + 1,
        codes=size,
        used=len(shares),
        dead=size - len(shares),
        entropy=abs(entropy),
        entropy_share=abs(entropy) / np.log2(size) if size > 1 else 1.0,
        gini=gini(counts),
        prefixes=prefixes,
        fan_out=prefixes / parents,
        most_fan_out=most_children,
        items=len(ids) / prefixes,
        most_items=most_items,
    )


def _below(prefixes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How many children each parent has, and how many items each child has, in parts."""
    if prefixes.shape[1] == 1:  # one parent: there are few children
        sizes = np.unique(prefixes[:, 0], return_counts=True)[1]
        yield np.array([len(sizes)]), sizes
        return
    for where in parts_of(prefixes):
        if not len(where):
            continue
        rows = prefixes[where]
        group = groups_of(rows)
        children = rows[group.order[group.starts[:-1]]]
        yield groups_of(children[:, :-1]).sizes, group.sizes


def _occupancy(codes: np.ndarray) -> list[dict[str, Any]]:
    """How many IDs of the tokenizer are those of 1, 2, 3 to 4, 5 to 8, ... items."""
    found: Counter[int] = Counter()
    for where in parts_of(codes):
        sizes = groups_of(codes[where]).sizes
        bins, counts = np.unique(np.ceil(np.log2(sizes)).astype(int), return_counts=True)
        found.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))
    return [
        {"items": f"{2 ** (n - 1) + 1} to {2**n}" if n > 1 else f"{2**n}", "ids": found[n]}
        for n in sorted(found)
    ]


def _churn(catalogue: Catalogue) -> Any:
    """The report of `ids refresh` about this catalogue, if `ids refresh` wrote it."""
    path = catalogue.folder / CHURN
    if catalogue.manifest.generations[0].action != "refresh" or not path.exists():
        return None
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CodewordError.of(f"a readable {path}", f"{error}", "remove it") from error
