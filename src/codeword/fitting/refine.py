"""The codes of all stages of a residual quantizer fitted together, given which codes were chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.functional.weights import weighted

__all__ = ["MOST_PAIRS", "Find", "Seen", "refine", "refine_by", "score", "solve"]

Find = Callable[[Tensor, Sequence[Tensor]], Tensor]

_ROUNDS = 10
_SWEEPS = 3
_PATIENCE = 2  # rounds without a gain
_GAIN = 1e-3  # the least that counts, of the error
MOST_PAIRS = 2**28  # of codes of two stages that are counted: 1 GiB


class Seen(NamedTuple):
    """What a round knows of the vectors: of their size nothing."""

    pairs: dict[
        tuple[int, int], Tensor
    ]  # (K_m, K_l) for stages m < l: how often two codes were chosen together
    counts: list[Tensor]  # (K_m,)
    sums: list[Tensor]  # (K_m, D): of the vectors that chose a code
    errors: Tensor  # (stages,): squared, after each stage


def refine(
    books: Sequence[Tensor],
    batches: Iterable[Tensor],
    find: Find,
    weights: Tensor | None = None,
    judges: tuple[Tensor, Tensor | None] | None = None,
    *,
    prefixes: bool = True,
) -> list[Tensor]:
    """Codes with less error, after each of the stages or after all.

    A round searches all vectors. Then, with the indices held constant, it minimises the sum over m of E_m / e_m, where
    E_m is the squared error after m stages and e_m its value before the round. This is one step on the product of the
    errors, so the first stages stay a good quantizer. It is a linear least-squares problem, solved by a few block
    Gauss-Seidel sweeps: each code moves to the weighted mean of the residuals of the other stages. The best round is
    kept.

    Args:
        books: the codes (K, D) of each stage.
        batches: vectors (N, D), read once a round.
        find: the search: indices (N, stages) of vectors (N, D) and the codes of each stage, float32.
        weights: (N,) of all vectors, or None: all ones.
        judges: vectors whose error decides which round is the best, and their weights; default those of the batches.
        prefixes: whether the error after each stage counts; if not, E_M alone is minimised.

    Returns:
        the codes; those given, where there is one stage, or more than 2^28 pairs of codes of two stages.

    Source: the joint least squares of Babenko and Lempitsky 2014, "Additive quantization", over all prefixes.
    """

    def look(codes: list[Tensor]) -> Seen:
        seen = _look(codes, batches, find, weights)
        if not prefixes:
            seen.errors[:-1] = math.inf  # they have no weight
        return seen

    def judge(codes: list[Tensor]) -> float:
        assert judges is not None
        return score(codes, [judges[0]], find, judges[1], prefixes)

    return refine_by(books, look, None if judges is None else judge)


def score(
    books: Sequence[Tensor],
    batches: Iterable[Tensor],
    find: Find,
    weights: Tensor | None = None,
    prefixes: bool = True,
) -> float:
    """The mean logarithm of the squared errors of vectors after each stage, or that of the last alone."""
    searched = [codes.float() for codes in books]
    errors = torch.zeros(len(books), dtype=torch.float64, device=books[0].device)
    for batch, weight in weighted(batches, weights):
        rows, own = batch[weight > 0], weight[weight > 0]
        lefts = _lefts(rows.double(), books, find(rows.float(), searched).unbind(1))
        errors += torch.stack([left.square().sum(1) @ own for left in lefts])
    return float((errors if prefixes else errors[-1:]).log().mean())


def refine_by(
    books: Sequence[Tensor],
    look: Callable[[list[Tensor]], Seen],
    judge: Callable[[list[Tensor]], float] | None = None,
) -> list[Tensor]:
    """The same with a search of one's own.

    Args:
        books: the codes (K, D) of each stage.
        look: tells of codes what a round has to know.
        judge: tells how bad they are; default the mean logarithm of the errors that a round sees.
    """
    pairs = sum(len(one) * len(other) for one, other in combinations(books, 2))
    books = best = [codes.double() for codes in books]
    lowest, idle = math.inf, 0
    for _ in range(_ROUNDS + 1 if 0 < pairs <= MOST_PAIRS else 0):
        seen = look(books)
        found = judge(books) if judge else float(seen.errors[seen.errors.isfinite()].log().mean())
        idle = 0 if found < lowest - _GAIN else idle + 1
        if found < lowest:
            lowest, best = found, books
        if idle > _PATIENCE or not math.isfinite(found):
            break
        books = solve(books, seen)
    return best


def _look(books: list[Tensor], batches: Iterable[Tensor], find: Find, weights: Tensor | None = None) -> Seen:
    sizes = [len(codes) for codes in books]
    searched = [codes.float() for codes in books]
    kind = torch.int32 if weights is None else torch.float32
    pairs = {
        (m, n): torch.zeros(sizes[m] * sizes[n], dtype=kind, device=books[0].device)
        for m, n in combinations(range(len(books)), 2)
    }
    counts = [codes.new_zeros(len(codes)) for codes in books]
    sums = [torch.zeros_like(codes) for codes in books]
    errors = books[0].new_zeros(len(books))
    for batch, weight in weighted(batches, weights):
        rows, own = batch[weight > 0], weight[weight > 0]
        indices = find(rows.float(), searched).unbind(1)
        rows = rows.double()
        for m, (index, left) in enumerate(zip(indices, _lefts(rows, books, indices), strict=True)):
            errors[m] += left.square().sum(1) @ own
            counts[m].index_add_(0, index, own)
            sums[m].index_add_(0, index, rows * own[:, None])
        for (m, n), count in pairs.items():
            together = indices[m] * sizes[n] + indices[n]
            count.index_add_(0, together, own.to(kind))
    tables = {(m, n): count.view(sizes[m], sizes[n]) for (m, n), count in pairs.items()}
    return Seen(tables, counts, sums, errors)


def _lefts(rows: Tensor, books: Sequence[Tensor], indices: Sequence[Tensor]) -> Iterator[Tensor]:
    """What is left over of rows (N, D) after each stage."""
    for codes, index in zip(books, indices, strict=True):
        rows = rows - codes[index]
        yield rows


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
