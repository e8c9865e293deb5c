"""How well a tokenizer keeps items, and at what cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from codeword.errors import CodewordError
from codeword.workbench.threads import in_order
from codeword.workbench.tokenizing.code_use import CodeUse
from codeword.workbench.tokenizing.tokenize import ItemTokenizer, groups

__all__ = ["Evaluation", "Scores", "evaluate"]

KEPT = 1000  # items that are told of one by one


class Scores(NamedTuple):
    """What was measured of one item, or of all together."""

    name: str
    metrics: dict[str, float]
    """Those of the modality, by their keys; for all together the means over the items."""
    perplexity: float
    """2 to the entropy of the codes used: how many equally likely codes would carry as much. Of several codebooks
    the mean."""
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


def evaluate(
    tokenizer: ItemTokenizer, items: Iterable[tuple[str, Any]], *, brief: bool = False
) -> Evaluation:
    """Reconstruct items one by one and measure.

    Args:
        tokenizer: in eval mode.
        items: names and arrays.
        brief: only the metrics that are quickly found.

    Raises:
        CodewordError: there are no items.
    """
    modality, codebooks = tokenizer.modality, len(tokenizer.tokenizer.codebook_sizes)

    def measure(numbered: tuple[int, list[tuple[str, Any]]]) -> tuple[list[np.ndarray], list[Scores]]:
        number, named = numbered
        lines, found = [], tokenizer.reconstruct_many([item for _, item in named])
        for (name, item), (reconstruction, indices) in zip(named, found, strict=True):
            metrics = modality.measure(item, reconstruction, tokenizer.bits_of(indices), brief=brief)
            told = number * modality.together < KEPT  # what is not told of is not counted by itself
            lines.append(Scores(name, metrics, *(_use_of(indices, codebooks) if told else (0.0, 0))))
        return [indices for _, indices in found], lines

    use, first, count = CodeUse(codebooks), list[Scores](), 0
    sums = dict[str, float]()
    for all_indices, lines in in_order(measure, enumerate(groups(items, modality.together))):
        use.add(np.concatenate([indices.reshape(-1, codebooks) for indices in all_indices]))
        first += lines[: KEPT - len(first)]
        count += len(lines)
        for key in lines[0].metrics:
            sums[key] = sums.get(key, 0.0) + sum(line.metrics[key] for line in lines)
    if not count:
        expected = f"{modality.items} to evaluate, at least one"
        raise CodewordError.of(expected, "none", "name a folder that has some")
    means = {key: value / count for key, value in sums.items()}
    total = Scores("all", means, use.perplexity, use.used)
    return Evaluation(first, total, tokenizer.tokenizer.codebook_sizes, count)


def _use_of(indices: np.ndarray, codebooks: int) -> tuple[float, int]:
    """Perplexity, and codes used, of one item."""
    use = CodeUse(codebooks)
    use.add(indices)
    return use.perplexity, use.used
