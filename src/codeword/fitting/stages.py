"""The codes of all stages of a residual sum, fitted to partial sums, and judged on vectors left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.fitting.refine import Find, Vectors, refine, score
from codeword.functional import PrincipalComponents, kmeans, progressive_kmeans
from codeword.functional.kmeans import draw_rows
from codeword.quantizers.composite.beam import continued

__all__ = ["fit_stages", "split"]

_PATHS = 5  # partial sums of a vector
_LEAST_WEIGHT = 0.02  # lighter ones are left out
_FEW, _MANY = 128, 1024  # vectors a code: for most steps of a k-means, and for the last ones
_LEAST_JUDGES = 32


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
    powers: Sequence[float],
    seed: int,
    prefixes: bool = True,
) -> list[Tensor]:
    """The codes of stages of these sizes: the best of some stacks, and then all stages together.

    Each stage is a k-means of the residuals of the five best partial sums before it, or of all if there are fewer. A
    partial sum of error e weighs (e_min / e)^p, with e_min the least error of its vector and a power p of each stack.
    More partial sums are more vectors, of more kinds, for the stages after them. That helps where there are few vectors
    for a code, or where a beam keeps such sums. In separate clusters they are vectors that a stage will not see, and a
    large p leaves them out. With an infinite p one sum alone is continued, as a search with beam 1 does.

    Args:
        fitted: the vectors to fit to.
        judges: the vectors whose error after all stages decides which stack, and how many rounds of `refine`.
        sizes: K of each stage.
        find: the search, as for `refine`.
        steps: of a k-means, with at most 128 vectors a code; a tenth as many with at most 1,024 follow.
        powers: p of each stack.
        seed: decides every draw.
        prefixes: as for `refine`.

    Source: the residuals of all beams in Faiss's ResidualQuantizer, there with equal weights.
    """
    components = PrincipalComponents([fitted.rows])
    first = _codes(fitted, components, sizes[0], steps, seed)
    stacks = (
        _stack(fitted, components, [first], sizes, power, steps, len(powers) * seed + number)
        for number, power in enumerate(powers)
    )
    best = min(stacks, key=lambda books: score(books, judges, find))
    return refine(best, fitted, judges, find, prefixes=prefixes)


def _stack(
    vectors: Vectors,
    components: PrincipalComponents,
    books: list[Tensor],
    sizes: Sequence[int],
    power: float,
    steps: int,
    seed: int,
) -> list[Tensor]:
    """The codes of all stages, those of the first given, with weights of this power for partial sums."""
    residuals = vectors.rows[:, None]
    for number, size in enumerate(sizes[1:], 1):
        residuals = continued(residuals, books[-1], 1 if math.isinf(power) else _PATHS)
        weights = _weights(residuals, power)
        if vectors.weights is not None:
            weights = weights * vectors.weights[:, None]
        seen = Vectors(residuals.flatten(0, 1), weights.flatten())
        books = [*books, _codes(seen, components, size, steps, seed + 1000 * number)]
    return books


def _weights(residuals: Tensor, power: float) -> Tensor:
    """(e_min / e)^power (N, A) of partial sums, for their residuals (N, A, D), or 0 where that is small."""
    errors = residuals.square().sum(-1, dtype=torch.float64)
    least = errors.amin(1, keepdim=True)
    weights = torch.where(errors > least, least / errors, 1) ** power
    return torch.where(weights < _LEAST_WEIGHT, 0, weights)


def _codes(vectors: Vectors, components: PrincipalComponents, size: int, steps: int, seed: int) -> Tensor:
    many = Vectors(*draw_rows([vectors.rows], _MANY * size, vectors.weights, seed))
    few = many.part(0, _FEW * size)
    codes = progressive_kmeans(components.of(few.rows), size, steps=steps, weights=few.weights, seed=seed)
    if len(few.rows) == len(many.rows):
        return codes
    return kmeans(many.rows, size, steps=math.ceil(steps / 10), start=codes, weights=many.weights)
