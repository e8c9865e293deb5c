"""A genetic algorithm over the bits of codes: a search without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.checks import at_least, between
from codeword.errors import CodewordError

__all__ = ["Generation", "crossed", "evolve", "mutated", "next_population", "selected"]

Fitness = Callable[[Tensor], Tensor]  # of a population (P, ...): (P,), larger is better


class Generation(NamedTuple):
    """One step of `evolve`.

    Attributes:
        population: bool (P, ...), the one that follows.
        best: bool (...), the fittest of the one that was judged.
        fitness: of the best.
    """

    population: Tensor
    best: Tensor
    fitness: float


@torch.no_grad()
def evolve(
    population: Tensor,
    fitness: Fitness,
    *,
    generations: int = 50,
    mutation: float = 0.02,
    tournament: int = 2,
    elite: int = 1,
) -> Iterator[Generation]:
    """Search for bits with a high fitness: tournaments, uniform crossover, mutation, and an elite that is kept.

    For quantizers whose codes are bits, `LFQ`, `BSQ`, `Bitcodes`, `Binarize`: decode a population and judge what comes
    out, by a classifier, a simulator or a measure without a gradient. `codeword.functional.to_indices` makes indices of
    bits. Draws are those of torch's generator.

    Args:
        population: bool (P, ...), two genes or more; each is the bits of one item.
        fitness: takes a population and returns (P,) numbers, larger being better.
        generations: how many.
        mutation: the chance of a bit to turn over.
        tournament: how many genes compete to be a parent.
        elite: how many of the best go on as they are.

    Yields:
        a `Generation` each; the best fitness never falls where `elite` is at least 1 and `fitness` draws nothing.

    Raises:
        CodewordError: a population that is not bool, or numbers out of range.

    Source: EvoLFQ of vector-quantize-pytorch; tournaments Goldberg and Deb 1991, "A comparative analysis of selection
    schemes", uniform crossover Syswerda 1989.

    Examples:
        >>> genes = torch.rand(32, 20) < 0.5
        >>> *_, last = evolve(genes, lambda bits: bits.sum(1).float(), generations=40)
        >>> last.best.shape, last.fitness >= float(genes.sum(1).max())
        (torch.Size([20]), True)
    """
    if population.dtype != torch.bool or len(population) < 2:
        got = f"{population.dtype} of {len(population)} genes"
        raise CodewordError.of("a bool population of two genes or more", got, "pass bits > 0")
    at_least("generations", generations, 1)
    at_least("tournament", tournament, 1)
    at_least("elite", elite, 0)
    if mutation:
        between("mutation", mutation, 0, 1)
    for _ in range(generations):
        judged = fitness(population)
        best = int(judged.argmax())
        following = next_population(population, judged, mutation, tournament, elite)
        yield Generation(following, population[best], float(judged[best]))
        population = following


def next_population(
    population: Tensor, judged: Tensor, mutation: float, tournament: int, elite: int
) -> Tensor:
    """The population (P, ...) after one whose fitness (P,) is known: the elite first, then children."""
    kept = population[judged.topk(min(elite, len(population))).indices]
    mothers, fathers = (selected(population, judged, tournament) for _ in range(2))
    children = mutated(crossed(mothers, fathers), mutation)
    return torch.cat([kept, children[len(kept) :]])


def selected(population: Tensor, judged: Tensor, tournament: int) -> Tensor:
    """As many parents as there are genes, each the fittest of `tournament` that are drawn."""
    shape = len(population), tournament
    drawn = torch.randint(len(population), shape, dtype=torch.int64, device=population.device)
    return population[drawn.gather(1, judged[drawn].argmax(1, keepdim=True))[:, 0]]


def crossed(one: Tensor, other: Tensor) -> Tensor:
    """Each bit from one of two parents."""
    return torch.where(_chance(one, 0.5), one, other)


def mutated(population: Tensor, rate: float) -> Tensor:
    """Some bits turned over."""
    return population ^ _chance(population, rate)


def _chance(like: Tensor, rate: float) -> Tensor:
    return torch.rand(like.shape, dtype=torch.float32, device=like.device) < rate
