"""`EvoLFQ`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from codeword.compat.vector_quantize_pytorch.lookup_free_quantization import LFQ
from codeword.errors import CodewordError
from codeword.models.evolution import crossed, mutated, next_population, selected

__all__ = ["EvoLFQ", "Result", "Return"]

Fitness = Callable[[Tensor, Tensor], Tensor]  # of what genes decode to, and the genes: (population,)


class Return(NamedTuple):
    """What a forward of `EvoLFQ` returns."""

    reconstructed: Tensor
    indices: Tensor
    entropy_aux_loss: Tensor


class Result(NamedTuple):
    """One generation: the population that follows, and the best gene of the one that was judged."""

    pop_bits: Tensor
    best_gene: Tensor
    best_fitness: float
    best_decoded: Tensor | None


class EvoLFQ(nn.Module):
    """An autoencoder over the bits of LFQ, and a genetic algorithm over these bits.

    Args:
        encoder: from data to vectors.
        decoder: back.
        lfq: the layer between them; None: an `LFQ` of `dim`, `codebook_size`, `num_codebooks` and `lfq_kwargs`.
        pop_size: how many genes there are.
        mutation_rate: the chance of a bit to turn over.
        tournament_size: how many genes compete to be a parent.
        elitism_count: how many of the best go on as they are.
        generations: how many `evolve` yields.

    A gene is the bits of one item, (..., bits), 0 or 1; -1 or 1 where `is_sign` is True.

    Examples:
        >>> evo = EvoLFQ(nn.Linear(6, 8), nn.Linear(8, 6), dim=8, codebook_size=256, pop_size=16)
        >>> *_, last = evo.evolve(lambda decoded, bits: bits.flatten(1).sum(1), shape=(5, 8), generations=20)
        >>> last.pop_bits.shape, last.best_gene.shape
        (torch.Size([16, 5, 8]), torch.Size([5, 8]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        lfq: LFQ | None = None,
        *,
        dim: int | None = None,
        codebook_size: int | None = None,
        num_codebooks: int = 1,
        pop_size: int = 64,
        mutation_rate: float = 0.02,
        tournament_size: int = 2,
        elitism_count: int = 1,
        generations: int = 50,
        **lfq_kwargs: Any,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        sizes: dict[str, Any] = {"dim": dim, "codebook_size": codebook_size, "num_codebooks": num_codebooks}
        self.lfq = LFQ(**sizes, **lfq_kwargs) if lfq is None else lfq
        self.pop_size, self.mutation_rate = pop_size, mutation_rate
        self.tournament_size, self.elitism_count = tournament_size, elitism_count
        self.generations = generations

    @property
    def device(self) -> torch.device:
        return self.lfq.quantizer.device

    def forward(self, x: Tensor, **kwargs: Any) -> Return:
        """The autoencoder: what is decoded, the indices and the loss of the LFQ, which gets the options."""
        quantized, indices, loss = self.lfq(self.encoder(x), **kwargs)
        return Return(self.decoder(quantized), indices, loss)

    @torch.no_grad()
    def encode(self, x: Tensor, return_signs: bool = False) -> Tensor:
        """The bits (..., bits) of data; with `return_signs` as -1 and 1."""
        return _written(self.lfq.project_in(self.encoder(x)) > 0, return_signs)

    @torch.no_grad()
    def decode_bits(self, bits: Tensor) -> Tensor:
        """What bits (..., bits) decode to."""
        return self.decoder(self.lfq.project_out(self.lfq.bits_to_codes(bits)))

    def init_random_population(
        self,
        pop_size: int | None = None,
        shape: Sequence[int] | None = None,
        device: torch.device | str | None = None,
        is_sign: bool = False,
    ) -> Tensor:
        """Genes (population, *shape) drawn at random."""
        if shape is None:
            raise CodewordError.of("the shape of a gene", "None", "pass it, the bits last")
        size, place = (pop_size or self.pop_size, *shape), device or self.device
        return _written(torch.randint(0, 2, size, dtype=torch.int64, device=place) > 0, is_sign)

    def init_population_from_data(
        self,
        x: Tensor,
        pop_size: int | None = None,
        mutation_rate: float | None = None,
        is_sign: bool = False,
    ) -> Tensor:
        """Mutated genes of data (items, ...): each item as often as it takes, drawn where there are too many."""
        genes, count = self.encode(x, return_signs=is_sign), pop_size or self.pop_size
        drawn = torch.cat(
            [
                torch.randperm(len(genes), dtype=torch.int64, device="cpu")
                for _ in range(-(-count // len(genes)))
            ]
        )[:count]
        return self.mutate(genes[drawn.to(genes.device)], mutation_rate, is_sign)

    def uniform_crossover(self, parent1: Tensor, parent2: Tensor) -> Tensor:
        """Each bit from one of two parents."""
        return crossed(parent1, parent2)

    def mutate(self, population: Tensor, mutation_rate: float | None = None, is_sign: bool = False) -> Tensor:
        """Some bits turned over."""
        rate = self.mutation_rate if mutation_rate is None else mutation_rate
        return _written(mutated(population > 0, rate), is_sign)

    def tournament_selection(
        self, population: Tensor, fitnesses: Tensor, tournament_size: int | None = None
    ) -> Tensor:
        """As many parents as there are genes, each the best of a few that are drawn."""
        return selected(population, fitnesses, tournament_size or self.tournament_size)

    @torch.no_grad()
    def step(
        self,
        pop_bits: Tensor,
        fitness_fn: Fitness,
        tournament_size: int | None = None,
        mutation_rate: float | None = None,
        elitism_count: int | None = None,
        is_sign: bool = False,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """The population that follows, and the fitness (population,) of this one; `kwargs` are for `fitness_fn`."""
        bits = (pop_bits + 1) / 2 if is_sign else pop_bits
        decoded = torch.cat([self.decode_bits(part) for part in bits.split(batch_size or len(bits))])
        fitnesses = fitness_fn(decoded, pop_bits, **kwargs)
        kept = self.elitism_count if elitism_count is None else elitism_count
        rate = self.mutation_rate if mutation_rate is None else mutation_rate
        tournament = tournament_size or self.tournament_size
        return _written(next_population(pop_bits > 0, fitnesses, rate, tournament, kept), is_sign), fitnesses

    def evolve(
        self,
        fitness_fn: Fitness,
        pop_bits: Tensor | None = None,
        pop_size: int | None = None,
        shape: Sequence[int] | None = None,
        generations: int | None = None,
        is_sign: bool = False,
        return_best_decoded: bool = False,
        **step_kwargs: Any,
    ) -> Iterator[Result]:
        """One `Result` for each generation, from a population or from a random one of a shape."""
        if pop_bits is None:
            pop_bits = self.init_random_population(pop_size, shape, is_sign=is_sign)
        for _ in range(generations or self.generations):
            following, fitnesses = self.step(pop_bits, fitness_fn, is_sign=is_sign, **step_kwargs)
            at = int(fitnesses.argmax())
            gene = pop_bits[at]
            decoded = self.decode_bits((gene + 1) / 2 if is_sign else gene) if return_best_decoded else None
            yield Result(following, gene, float(fitnesses[at]), decoded)
            pop_bits = following


def _written(genes: Tensor, is_sign: bool) -> Tensor:
    """Bits as 0 and 1, or -1 and 1."""
    bits = genes.float()
    return 2 * bits - 1 if is_sign else bits
