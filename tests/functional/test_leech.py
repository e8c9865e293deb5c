"""The shortest vectors of the Leech lattice: what is known of them, and the search against all products."""

from __future__ import annotations

import pytest
import torch

from codeword.functional.leech import LEECH_SIZE, _words, leech_vectors, nearest_leech


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return leech_vectors(torch.arange(LEECH_SIZE), torch.float64)


def test_the_golay_code_has_its_weights_and_is_linear():
    words = _words(torch.arange(4096))
    weights = torch.bincount(words.sum(1))
    assert {w: int(n) for w, n in enumerate(weights) if n} == {0: 1, 8: 759, 12: 2576, 16: 759, 24: 1}
    known = {tuple(word) for word in words.tolist()}
    assert len(known) == 4096
    draw = torch.Generator().manual_seed(0)
    one, other = words[torch.randint(4096, (2, 500), generator=draw)]
    assert all(tuple(word) in known for word in (one ^ other).tolist())


def test_all_are_different_and_of_unit_length(vectors):
    whole = (vectors * 32**0.5).round()
    torch.testing.assert_close(whole / 32**0.5, vectors)
    worth = 9 ** torch.arange(24)  # wraps around: different sums are of different vectors all the same
    assert len((whole.long() * worth).sum(1).unique()) == LEECH_SIZE == 196_560
    torch.testing.assert_close(vectors.square().sum(1), torch.ones(LEECH_SIZE, dtype=torch.float64))


@pytest.mark.parametrize("number", [0, 700, 1104, 90_000, 98_256, 196_559])
def test_inner_products_are_as_often_as_is_known(vectors, number):
    """Conway and Sloane, chapter 14: 1, 4600, 47104, 93150, 47104, 4600, 1."""
    values, counts = (4 * vectors @ vectors[number]).round(decimals=6).unique(return_counts=True)
    assert values.tolist() == [-4, -2, -1, 0, 1, 2, 4]
    assert counts.tolist() == [1, 4600, 47104, 93150, 47104, 4600, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_search_finds_what_all_products_find(vectors, dtype):
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(90, 24, generator=draw, dtype=torch.float64)
    rows[:30] *= torch.rand(30, 24, generator=draw, dtype=torch.float64) ** 8  # of few large numbers
    rows[30:60] = vectors[torch.randint(LEECH_SIZE, (30,), generator=draw)] + 0.1 * rows[30:60]
    rows = rows.to(dtype)
    best = (rows.double() @ vectors.T).topk(2, dim=1)
    found = nearest_leech(rows)
    clear = best.values[:, 0] - best.values[:, 1] > 1e-5
    assert clear.sum() > 60
    assert torch.equal(found[clear], best.indices[clear, 0])
    scores = (rows.double() * vectors[found]).sum(1)
    torch.testing.assert_close(scores, best.values[:, 0], atol=1e-6, rtol=1e-6)
    kinds = torch.bucketize(found, torch.tensor([1104, 98_256]), right=True)
    assert len(kinds.unique()) == 3


def test_each_vector_is_its_own_nearest(vectors):
    numbers = torch.arange(0, LEECH_SIZE, 101)
    assert torch.equal(nearest_leech(3 * vectors[numbers].float()), numbers)


def test_blocks_do_not_matter():
    rows = torch.randn(1000, 24, generator=torch.Generator().manual_seed(0))
    parts = [nearest_leech(part) for part in rows.split(7)]
    assert torch.equal(nearest_leech(rows), torch.cat(parts))
    assert nearest_leech(rows[:0]).shape == (0,)
