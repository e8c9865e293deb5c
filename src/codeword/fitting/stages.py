"""The codes of all stages of a sum of codes, fitted to what partial sums leave over, and judged on vectors left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from codeword.fitting.refine import Find, refine, score
from codeword.functional import PrincipalComponents, kmeans, progressive_kmeans
from codeword.functional.kmeans import draw_rows
from codeword.quantizers.composite.beam import continued

__all__ = ["Vectors", "fit_stages", "split"]

_WAYS = (
    (5, 1.5),
    (5, math.inf),
    (1, 1.0),
)  # partial sums, and how much larger than the least their errors may be
_FEW, _MANY = 128, 1024  # vectors a code: for most steps of a k-means, and for the last ones
_LEAST_JUDGES = 32


class Vectors(NamedTuple):
    """Finite vectors (N, D) in memory, and their weights (N,), if they have any."""

    rows: Tensor
    weights: Tensor | None

    def part(self, start: int, stop: int) -> Vectors:
        return Vectors(self.rows[start:stop], None if self.weights is None else self.weights[start:stop])


def split(vectors: Vectors, share: float, fewest: int) -> tuple[Vectors, Vectors]:
    """Vectors to fit to, and others to judge by: a share of them, or the same ones where there are too few for that.

    Args:
        vectors: in random order.
        share: of those to judge by.
        fewest: how many have to be left to fit to.
    """
    count = int(share * len(vectors.rows))
    if count < _LEAST_JUDGES or len(vectors.rows) - count < fewest:
        return vectors, vectors
    return vectors.part(count, len(vectors.rows)), vectors.part(0, count)


def fit_stages(
    fitted: Vectors,
    judges: Vectors,
    sizes: Sequence[int],
    find: Find,
    *,
    steps: int,
    tries: int,
    seed: int,
    prefixes: bool = True,
) -> list[Tensor]:
    """The codes of stages of these sizes: the best of some stacks, and then all stages together.

    Each stage is a k-means of what the partial sums before it leave over. Stacks differ in which partial sums: by turns
    the best five of each vector if their error is at most 1.5 times the least, all five, or the best alone. More
    partial sums are more and more varied vectors for the stages after them, which helps where codes are fitted to few
    vectors, or where a beam keeps such sums; in separate clusters they are no vectors that a stage will see.

    Args:
        fitted: the vectors to fit to.
        judges: the vectors whose error decides which stack, and how many rounds of `refine`.
        sizes: K of each stage.
        find: the search, as for `refine`.
        steps: of a k-means, with at most 128 vectors a code; a tenth as many with at most 1,024 follow.
        tries: how many stacks.
        seed: decides every draw.
        prefixes: as for `refine`.

    Source: the residuals of all beams in Faiss's ResidualQuantizer.
    """
    components = PrincipalComponents([fitted.rows])
    stacks = (
        _stack(fitted, components, sizes, *_WAYS[number % len(_WAYS)], steps, tries * seed + number)
        for number in range(tries)
    )
    best = min(stacks, key=lambda books: score(books, [judges.rows], find, judges.weights, prefixes=False))
    return refine(best, [fitted.rows], find, fitted.weights, judges, prefixes=prefixes)


def _stack(
    vectors: Vectors,
    components: PrincipalComponents,
    sizes: Sequence[int],
    paths: int,
    spread: float,
    steps: int,
    seed: int,
) -> list[Tensor]:
    """The codes of each stage, of what up to `paths` partial sums leave over."""
    left, books = vectors.rows[:, None], []
    for number, size in enumerate(sizes):
        errors = left.square().sum(-1)
        kept = errors <= spread * errors.amin(1, keepdim=True)
        own = vectors.weights
        seen = Vectors(left[kept], None if own is None else own[:, None].expand_as(kept)[kept])
        books.append(_codes(seen, components, size, steps, seed + 1000 * number))
        left = continued(left, books[-1], paths)
    return books


def _codes(vectors: Vectors, components: PrincipalComponents, size: int, steps: int, seed: int) -> Tensor:
    many = Vectors(*draw_rows([vectors.rows], _MANY * size, vectors.weights, seed))
    few = many.part(0, _FEW * size)
    codes = progressive_kmeans(components.of(few.rows), size, steps=steps, weights=few.weights, seed=seed)
    if len(few.rows) == len(many.rows):
        return codes
    return kmeans(many.rows, size, steps=math.ceil(steps / 10), start=codes, weights=many.weights)
