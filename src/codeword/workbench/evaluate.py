"""How well a tokenizer keeps items, and at what cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from codeword.errors import CodewordError
from codeword.workbench.code_use import CodeUse
from codeword.workbench.threads import in_order
from codeword.workbench.tokenise import ItemTokenizer

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Evaluation", "Scores", "evaluate"]


class Scores(NamedTuple):
    """What was measured of one item, or of all together."""

    name: str
    figures: dict[str, float]
    """Those of the medium, by their keys; for all together the means over the items."""
    perplexity: float
    """2 to the entropy of the codes used: how many equally likely codes would carry as much. Of several codebooks
    the mean."""
    used: int
    """Codes that occur, of all codebooks together."""


class Evaluation(NamedTuple):
    """One line for each item, and one for all."""

    items: list[Scores]
    total: Scores
    codebook_sizes: tuple[int, ...]


def evaluate(
    tokenizer: ItemTokenizer, items: Iterable[tuple[str, Any]], *, brief: bool = False
) -> Evaluation:
    """Reconstruct items one by one and measure.

    Args:
        tokenizer: in eval mode.
        items: names and arrays.
        brief: only the figures that are quickly found.

    Raises:
        CodewordError: there are no items.
    """
    codebooks = len(tokenizer.tokenizer.codebook_sizes)
    use = CodeUse(codebooks)

    def measure(named: tuple[str, Any]) -> tuple[np.ndarray, Scores]:
        name, item = named
        reconstruction, indices = tokenizer.reconstruct(item)
        figures = tokenizer.medium.measure(item, reconstruction, tokenizer.bits_of(indices), brief=brief)
        own = CodeUse(codebooks)
        own.add(indices)
        return indices, Scores(name, figures, own.perplexity, own.used)

    lines = []
    for indices, scores in in_order(measure, items):
        use.add(indices)
        lines.append(scores)
    if not lines:
        expected = f"{tokenizer.medium.items} to evaluate, at least one"
        raise CodewordError.of(expected, "none", "name a folder that has some")
    means = {key: sum(line.figures[key] for line in lines) / len(lines) for key in lines[0].figures}
    total = Scores("all", means, use.perplexity, use.used)
    return Evaluation(lines, total, tokenizer.tokenizer.codebook_sizes)
