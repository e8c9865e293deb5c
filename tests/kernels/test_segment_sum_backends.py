"""Both ways to sum segments against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from codeword.kernels.segment_sum import scattered, segment_sum, sorted_segments


@pytest.mark.parametrize("run", [scattered.segment_sum, sorted_segments.segment_sum])
@pytest.mark.parametrize(
    "sizes", [(1, 0, 3, 2), (1, 1, 1, 1), (2, 50, 7, 5), (3, 1001, 33, 8), (0, 4, 3, 2)], ids=str
)
def test_sums_and_counts(run: Callable, sizes: tuple[int, int, int, int]) -> None:
    groups, n, size, features = sizes
    rows, indices = torch.randn(groups, n, features), torch.randint(size, (groups, n))
    weights = torch.rand(groups, n)
    counts, sums = run(rows, indices, size, weights)
    again = run(rows, indices, size, weights)
    assert torch.equal(counts, again[0])
    assert torch.equal(sums, again[1])
    assert counts.shape == (groups, size)
    assert sums.shape == (groups, size, features)
    for group in range(groups):
        expected = np.zeros((size, features + 1))
        columns = torch.cat([rows[group], weights[group][:, None]], -1).double().numpy()
        np.add.at(expected, indices[group].numpy(), columns)
        np.testing.assert_allclose(sums[group], expected[:, :-1], atol=1e-4)
        np.testing.assert_allclose(counts[group], expected[:, -1], atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_operator_passes_torch_s_own_checks(weighted: bool) -> None:
    rows, indices = torch.randn(2, 7, 3), torch.randint(4, (2, 7))
    torch.library.opcheck(segment_sum, (rows, indices, 4, torch.rand(2, 7) if weighted else None))
