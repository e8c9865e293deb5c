"""The quality of reconstructions, and their cost in bits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from codeword.errors import CodewordError
from codeword.workbench.measuring import Measure, SetMeasure
from codeword.workbench.measuring.protocol import digest_of, digest_of_set
from codeword.workbench.modalities import Metric
from codeword.workbench.threads import in_order
from codeword.workbench.tokenizing.code_use import CodeUse
from codeword.workbench.tokenizing.tokenize import ItemTokenizer, groups

__all__ = ["Evaluation", "Part", "Scores", "evaluate", "join", "measure"]

KEPT = 1000  # items that are reported one by one


class Scores(NamedTuple):
    """The measurements of one item, or of all together."""

    name: str
    metrics: dict[str, float]
    """The metrics of the modality, by their keys; for all items together their means."""
    perplexity: float
    """2 to the power of the entropy of the used codes: the number of equally likely codes with this entropy. With
    several codebooks the mean.
    """
    used: int
    """Codes that occur, of all codebooks together."""


class Evaluation(NamedTuple):
    """One line for each item, and one for all."""

    items: list[Scores]
    """The first 1,000 at most."""
    total: Scores
    codebook_sizes: tuple[int, ...]
    measured: int
    """How many items were measured."""
    reference: str
    """SHA-256 of the set of items, independent of their names and order."""
    metrics: tuple[Metric, ...]
    """The requested measures, beside those of the modality."""


class Part(NamedTuple):
    """The measurements of one process on its items: all of them, or every n-th."""

    lines: list[Scores]
    use: CodeUse
    digests: list[bytes]
    features: dict[str, tuple[list[Tensor], list[Tensor]]]
    """For each measure of the whole set: the features of the items, and of the reconstructions."""


def evaluate(
    tokenizer: ItemTokenizer,
    items: Iterable[tuple[str, Any]],
    *,
    brief: bool = False,
    measures: Sequence[Measure] = (),
) -> Evaluation:
    """Reconstruct items one by one and measure.

    Args:
        tokenizer: in eval mode.
        items: names and arrays.
        brief: only the metrics that are cheap to compute.
        measures: further ones.

    Raises:
        CodewordError: there are no items, or a measure is undefined for one.
    """
    return join(tokenizer, [measure(tokenizer, items, brief=brief, measures=measures)], measures)


def measure(
    tokenizer: ItemTokenizer,
    items: Iterable[tuple[str, Any]],
    *,
    brief: bool = False,
    measures: Sequence[Measure] = (),
    shared: bool = False,
) -> Part:
    """The measurements of one process, alone or one of several (`shared`); otherwise like `evaluate`."""
    modality, codebooks = tokenizer.modality, len(tokenizer.tokenizer.codebook_sizes)
    of_sets = [one for one in measures if isinstance(one, SetMeasure)]
    of_items = [one for one in measures if not isinstance(one, SetMeasure)]

    def work(numbered: tuple[int, list[tuple[str, Any]]]) -> tuple[list[np.ndarray], list[Any]]:
        number, named = numbered
        lines, found = [], tokenizer.reconstruct_many([item for _, item in named])
        for (name, item), (reconstruction, indices) in zip(named, found, strict=True):
            metrics = modality.measure(item, reconstruction, tokenizer.bits_of(indices), brief=brief)
            metrics |= {one.metric.key: _value(one, name, item, reconstruction) for one in of_items}
            told = shared or number * modality.together < KEPT  # others are not counted one by one
            scores = Scores(name, metrics, *(_use_of(indices, codebooks) if told else (0.0, 0)))
            features = [(one.features(item), one.features(reconstruction)) for one in of_sets]
            lines.append((scores, digest_of(item), features))
        return [indices for _, indices in found], lines

    part = Part([], CodeUse(codebooks), [], {one.metric.key: ([], []) for one in of_sets})
    for all_indices, lines in in_order(work, enumerate(groups(items, modality.together))):
        part.use.add(np.concatenate([indices.reshape(-1, codebooks) for indices in all_indices]))
        for scores, digest, features in lines:
            part.lines.append(scores)
            part.digests.append(digest)
            for kept, pair in zip(part.features.values(), features, strict=True):
                kept[0].append(pair[0])
                kept[1].append(pair[1])
    return part


def join(
    tokenizer: ItemTokenizer,
    parts: Sequence[Part],
    measures: Sequence[Measure] = (),
    names: Sequence[str] | None = None,
) -> Evaluation:
    """Join the measurements of several processes; the result is that of one process, bit for bit.

    Args:
        tokenizer: that they measured.
        parts: of all of them.
        measures: that they found.
        names: of all items, in order; None: the items are in order.

    Raises:
        CodewordError: there are no items.
    """
    modality, sizes = tokenizer.modality, tokenizer.tokenizer.codebook_sizes
    lines = list(chain.from_iterable(part.lines for part in parts))
    order = _order([line.name for line in lines], names)
    lines = [lines[place] for place in order]
    if not lines:
        expected = f"{modality.items} to evaluate, at least one"
        raise CodewordError.of(expected, "none", "name a folder that has some")
    use = CodeUse(len(sizes))
    for part in parts:
        use.join(part.use)
    means = {key: _mean([line.metrics[key] for line in lines]) for key in lines[0].metrics}
    for one in measures:
        if isinstance(one, SetMeasure):
            both = [
                list(chain.from_iterable(part.features[one.metric.key][side] for part in parts))
                for side in (0, 1)
            ]
            means[one.metric.key] = one.of_set(*([rows[place] for place in order] for rows in both))
    total = Scores("all", means, use.perplexity, use.used)
    reference = digest_of_set(chain.from_iterable(part.digests for part in parts))
    return Evaluation(
        lines[:KEPT], total, sizes, len(lines), reference, tuple(one.metric for one in measures)
    )


def _order(found: Sequence[str], names: Sequence[str] | None) -> Sequence[int]:
    """The indices of the found names in all names, in order."""
    if names is None:
        return range(len(found))
    places = {name: place for place, name in enumerate(names)}
    return sorted(range(len(found)), key=lambda place: places[found[place]])


def _value(one: Measure, name: str, item: Any, reconstruction: Any) -> float:
    try:
        return one.of(item, reconstruction)
    except CodewordError as error:
        raise CodewordError(f"{name}: {error}") from error


def _mean(values: Sequence[float]) -> float:
    """The mean of the values that are not NaN, rounded once, so that their order does not matter."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return math.fsum(known) / len(known) if all(map(math.isfinite, known)) else sum(known) / len(known)


def _use_of(indices: np.ndarray, codebooks: int) -> tuple[float, int]:
    """Perplexity, and codes used, of one item."""
    use = CodeUse(codebooks)
    use.add(indices)
    return use.perplexity, use.used
