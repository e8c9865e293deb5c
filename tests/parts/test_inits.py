"""Where the first codes come from."""

from __future__ import annotations

import pytest
import torch

from codeword.codebooks import Codebook
from codeword.functional import Key, Valid
from codeword.inits import KMeans, Normal, Sample, Uniform
from codeword.updates import SmoothedEMA
from distances import squared_distances

KEY = Key.of(1)


def start(init, rows: torch.Tensor, size: int) -> torch.Tensor:
    return init(rows, Valid.of(torch.ones(len(rows), dtype=torch.bool)), size, KEY)


def test_normal_and_uniform_moments():
    rows = torch.zeros(3, 50)
    normal = start(Normal(2.0), rows, 400)
    assert float(normal.std()) == pytest.approx(2.0, rel=0.03)
    assert abs(float(normal.mean())) < 0.05
    uniform = start(Uniform(3.0), rows, 400)
    assert 2.99 < float(uniform.abs().max()) < 3.0
    assert float(uniform.std()) == pytest.approx(3 / 3**0.5, rel=0.03)
    assert float(start(Uniform(), rows, 400).abs().max()) < 1 / 400


def test_sample_takes_different_rows():
    rows = torch.randn(30, 4)
    codes = start(Sample(), rows, 30)
    assert sorted(codes.tolist()) == sorted(rows.tolist())


def test_kmeans_is_better_than_its_start():
    rows = torch.randn(2000, 4)
    errors = [
        squared_distances(rows, start(init, rows, 32)).min(1).values.mean() for init in (KMeans(), Sample())
    ]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("init", [KMeans(), Sample(), Normal(), Uniform(0.1)], ids=str)
def test_counts_start_consistent(init):
    book = Codebook(8, 4, SmoothedEMA(init=init))
    book.init_(torch.randn(100, 4), Valid.of(torch.ones(100, dtype=torch.bool)), KEY)
    torch.testing.assert_close(book.sums, book.codes * book.cluster_size[:, None])
    assert float(book.cluster_size.sum()) == pytest.approx(100)
