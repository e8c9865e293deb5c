"""The genetic algorithm over bits: each part by itself, and that it finds what is sought."""

from __future__ import annotations

import pytest
import torch

from codeword import LFQ, CodewordError
from codeword.functional import to_indices
from codeword.models import evolve
from codeword.models.evolution import crossed, mutated, next_population, selected


def genes(count: int, bits: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, bits, generator=torch.Generator().manual_seed(seed)) < 0.5


def ones(bits: torch.Tensor) -> torch.Tensor:
    return bits.flatten(1).sum(1).float()


def test_all_bits_are_found_and_the_best_never_falls():
    torch.manual_seed(0)
    found = list(evolve(genes(64, 40), ones, generations=80, mutation=0.01))
    fitness = [generation.fitness for generation in found]
    assert fitness == sorted(fitness)
    assert fitness[-1] >= 39
    assert ones(found[-1].best[None]).item() == fitness[-1]


def test_a_tournament_of_two_prefers_the_fitter_as_often_as_it_should():
    torch.manual_seed(0)
    judged = torch.arange(50.0)
    drawn = torch.stack([selected(torch.arange(50), judged, 2) for _ in range(400)]).flatten()
    shares = torch.bincount(drawn, minlength=50) / len(drawn)
    expected = (2 * torch.arange(50.0) + 1) / 50**2  # both at most k, less both below k
    torch.testing.assert_close(shares, expected, atol=0.006, rtol=0)


def test_children_have_bits_of_their_parents_and_some_turn_over():
    torch.manual_seed(0)
    one, other = genes(2000, 10), genes(2000, 10, seed=1)
    child = crossed(one, other)
    assert ((child == one) | (child == other)).all()
    assert (child == one)[one != other].float().mean() == pytest.approx(0.5, abs=0.02)
    assert (mutated(one, 0.1) != one).float().mean() == pytest.approx(0.1, abs=0.01)
    assert mutated(one, 0.0).equal(one)


def test_the_elite_goes_on_as_it_is():
    torch.manual_seed(0)
    population = genes(30, 20)
    judged = ones(population)
    following = next_population(population, judged, 0.5, 2, 3)
    assert following.shape == population.shape
    assert following[:3].equal(population[judged.topk(3).indices])


def test_codes_of_lfq_are_found_by_what_they_decode_to():
    torch.manual_seed(0)
    lfq = LFQ(12, 12).eval()
    target = torch.where(genes(1, 12, seed=5), 1.0, -1.0)

    def near(bits: torch.Tensor) -> torch.Tensor:
        return -(lfq.decode(to_indices(bits.long())) - target).square().sum(1)

    *_, last = evolve(genes(64, 12), near, generations=60)
    assert lfq.decode(to_indices(last.best.long()[None])).equal(target)


@pytest.mark.parametrize(
    ("population", "options", "said"),
    [
        (torch.zeros(4, 3), {}, "bool population"),
        (genes(1, 3), {}, "two genes"),
        (genes(4, 3), {"mutation": 1.5}, "mutation between"),
        (genes(4, 3), {"tournament": 0}, "tournament of at least 1"),
    ],
    ids=["floats", "one", "mutation", "tournament"],
)
def test_what_cannot_be_is_refused(population, options, said):
    with pytest.raises(CodewordError, match=said):
        next(evolve(population, ones, **options))
