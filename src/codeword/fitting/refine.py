"""The codes of all stages of a residual quantizer fitted together, given which codes were chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.functional.weights import weighted

__all__ = ["MOST_PAIRS", "Find", "Seen", "Vectors", "refine", "refine_by", "score", "solve"]

Find = Callable[[Tensor, Sequence[Tensor]], Tensor]

_ROUNDS = 10
_BLOCK = 2**16  # vectors at once
_SWEEPS = 3
_PATIENCE = 1  # rounds without a gain
_GAIN = 1e-3  # the least that counts, of the error
MOST_PAIRS = 2**28  # of codes of two stages that are counted: 1 GiB


class Vectors(NamedTuple):
    """Finite vectors (N, D) in memory, and their weights (N,), if they have any."""

    rows: Tensor
    weights: Tensor | None

    def part(self, start: int, stop: int) -> Vectors:
        return Vectors(self.rows[start:stop], None if self.weights is None else self.weights[start:stop])


class Seen(NamedTuple):
    """What a round knows of the vectors: of their size nothing."""

    pairs: dict[
        tuple[int, int], Tensor
    ]  # (K_m, K_l) for stages m < l: how often two codes were chosen together
    counts: list[Tensor]  # (K_m,)
    sums: list[Tensor]  # (K_m, D): of the vectors that chose a code
    errors: Tensor  # (stages,): squared, after each stage


def refine(
    books: Sequence[Tensor], vectors: Vectors, judges: Vectors, find: Find, *, prefixes: bool = True
) -> list[Tensor]:
    """Codes with less error after all stages, or those given.

    A round searches all vectors. Then, with the indices held constant, it minimises the sum over m of E_m / e_m, where
    E_m is the squared error after m stages and e_m its value before the round. This is one step on the product of the
    errors, so the first stages stay a good quantizer. It is a linear least-squares problem, solved by a few block
    Gauss-Seidel sweeps: each code moves to the weighted mean of the residuals of the other stages. The round in which
    the judges have the least error after all stages is kept.

    Args:
        books: the codes (K, D) of each stage.
        vectors: to fit to.
        judges: vectors that decide which round is the best.
        find: the search: indices (N, stages) of vectors (N, D) and the codes of each stage, float32.
        prefixes: whether the error after each stage counts; if not, E_M alone is minimised.

    Returns:
        the codes; those given, where there is one stage, or more than 2^28 pairs of codes of two stages.

    Source: the joint least squares of Babenko and Lempitsky 2014, "Additive quantization", over all prefixes.
    """

    def look(codes: list[Tensor]) -> Seen:
        seen = _look(codes, vectors, find)
        if not prefixes:
            seen.errors[:-1] = math.inf  # they have no weight
        return seen

    return refine_by(books, look, None if judges is vectors else lambda codes: score(codes, judges, find))


def score(books: Sequence[Tensor], vectors: Vectors, find: Find) -> float:
    """The logarithm of the squared error of vectors after all stages."""
    residuals = vectors.rows.double()
    indices = find(vectors.rows.float(), [codes.float() for codes in books])
    for codes, index in zip(books, indices.unbind(1), strict=True):
        residuals = residuals - codes[index]
    errors = residuals.square().sum(1)
    return float((errors.sum() if vectors.weights is None else errors @ vectors.weights).log())


def refine_by(
    books: Sequence[Tensor],
    look: Callable[[list[Tensor]], Seen],
    judge: Callable[[list[Tensor]], float] | None = None,
) -> list[Tensor]:
    """The same with a search of one's own.

    Args:
        books: the codes (K, D) of each stage.
        look: tells of codes what a round has to know.
        judge: tells how bad they are; default the logarithm of the error after all stages that a round sees.
    """
    pairs = sum(len(one) * len(other) for one, other in combinations(books, 2))
    books = best = [codes.double() for codes in books]
    lowest, idle = math.inf, 0
    for round_ in range(_ROUNDS + 1 if 0 < pairs <= MOST_PAIRS else 0):
        seen: Seen | None = None
        if judge is None:
            seen = look(books)
            found = float(seen.errors[-1].log())
        else:
            found = judge(books)
        idle = 0 if found < lowest - _GAIN else idle + 1
        if found < lowest:
            lowest, best = found, books
        if round_ == _ROUNDS or idle > _PATIENCE or not math.isfinite(found):
            break
        books = solve(books, seen or look(books))
    return best


def _look(books: list[Tensor], vectors: Vectors, find: Find) -> Seen:
    sizes = [len(codes) for codes in books]
    searched = [codes.float() for codes in books]
    kind = torch.int32 if vectors.weights is None else torch.float32
    pairs = {
        (m, n): torch.zeros(sizes[m] * sizes[n], dtype=kind, device=books[0].device)
        for m, n in combinations(range(len(books)), 2)
    }
    counts = [codes.new_zeros(len(codes)) for codes in books]
    sums = [torch.zeros_like(codes) for codes in books]
    errors = books[0].new_zeros(len(books))
    for rows, weights in weighted(vectors.rows.split(_BLOCK), vectors.weights):
        indices = find(rows.float(), searched).unbind(1)
        residuals = rows.double()
        weighed = residuals * weights[:, None]
        for m, index in enumerate(indices):
            residuals = residuals - books[m][index]
            errors[m] += residuals.square().sum(1) @ weights
            counts[m].index_add_(0, index, weights)
            sums[m].index_add_(0, index, weighed)
        for (m, n), count in pairs.items():
            together = indices[m] * sizes[n] + indices[n]
            count.index_add_(0, together, weights.to(kind))
    tables = {(m, n): count.view(sizes[m], sizes[n]) for (m, n), count in pairs.items()}
    return Seen(tables, counts, sums, errors)


def solve(books: list[Tensor], seen: Seen) -> list[Tensor]:
    """Some sweeps over the stages, each code at the minimum of the weighted error while the others stay."""
    later = (1 / seen.errors).flip(0).cumsum(0).flip(0)  # the weight of the prefixes that a stage is part of
    books = list(books)
    for _ in range(_SWEEPS):
        for m, codes in enumerate(books):
            taken = later[m] * seen.sums[m]
            for n, others in enumerate(books):
                if n != m:
                    together = seen.pairs[m, n] if m < n else seen.pairs[n, m].T
                    taken = taken - later[max(m, n)] * (together.to(codes.dtype) @ others)
            counts = seen.counts[m][:, None]
            books[m] = torch.where(counts > 0, taken / (later[m] * counts), codes)
    return books
