"""Both ways to sum segments against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from codeword.kernels.segment_sum import scattered, segment_sum, sorted_segments


@pytest.mark.parametrize("run", [scattered.segment_sum, sorted_segments.segment_sum])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", [(0, 3, 2), (1, 1, 1), (50, 7, 5), (3001, 3, 8), (70_000, 33, 4)], ids=str)
def test_sums_and_counts(run: Callable, weighted: bool, sizes: tuple[int, int, int]) -> None:
    n, size, features = sizes
    rows, indices = torch.randn(n, features), torch.randint(size, (n,))
    weights = torch.rand(n) if weighted else None
    counts, sums = run(rows, indices, size, weights)
    again = run(rows, indices, size, weights)
    assert torch.equal(counts, again[0])
    assert torch.equal(sums, again[1])
    expected = np.zeros((size, features + 1))
    factors = torch.ones(n, 1) if weights is None else weights[:, None]
    columns = torch.cat([rows, torch.ones(n, 1)], 1).double() * factors
    np.add.at(expected, indices.numpy(), columns.numpy())
    np.testing.assert_allclose(sums, expected[:, :-1], atol=1e-4)
    np.testing.assert_allclose(counts, expected[:, -1], rtol=1e-6 if weighted else 0)


@pytest.mark.parametrize(
    ("run", "n"),
    [(scattered.segment_sum, 5 * 2**22), (sorted_segments.segment_sum, 5 * 2**18)],
    ids=["scattered", "sorted"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_as_many_rows_as_float32_can_not_add_up(run: Callable, n: int, weighted: bool) -> None:
    """A sum of ones in float32 stops at 2^24, and that of equal numbers is off long before."""
    indices = torch.ones(n, dtype=torch.int64)
    rows = torch.arange(5.0).repeat_interleave(n // 5)[:, None] + 0.1
    weights = torch.full((n,), 0.25) if weighted else None
    counts, sums = run(rows, indices, 2, weights)
    factor = 0.25 if weighted else 1
    assert counts.tolist() == [0, factor * n]
    np.testing.assert_allclose(sums / n, [[0.0], [factor * 2.1]], rtol=1e-6)


def test_the_operator_passes_torch_s_own_checks() -> None:
    rows, indices = torch.randn(2, 7, 3), torch.randint(4, (2, 7))
    for weights in (torch.rand(2, 7), torch.rand(2, 7) > 0.5):
        for wide in (True, False):
            torch.library.opcheck(segment_sum, (rows, indices, 4, weights, wide))


@pytest.mark.parametrize("sizes", [(2, 0, 3, 2), (1, 1, 1, 1), (3, 50, 7, 21), (2, 300, 1000, 64)], ids=str)
def test_vector_code_gives_what_scattering_gives(
    sizes: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llvmlite")
    groups, n, size, features = sizes
    rows, indices = torch.randn(groups, n, features), torch.randint(size, (groups, n))
    for mask in (None, torch.rand(groups, n) < 0.7):
        own = rows if mask is None else torch.where(mask[..., None], rows, torch.nan)
        found = [
            (monkeypatch.setenv("CODEWORD_KERNEL", name), segment_sum(own, indices, size, mask, False))[1]
            for name in ("llvm", "blocked")
        ]
        for ours, right in zip(*found, strict=True):
            assert torch.equal(ours, right)
