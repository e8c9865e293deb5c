"""Lloyd steps and offline k-means, against scikit-learn and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import kmeans, lloyd, nearest
from codeword.functional.weights import finite_rows


def _error(rows: Tensor, codes: Tensor) -> float:
    return float(nearest(rows, codes, return_distances=True)[1].mean())


def _clusters(count: int, rows_each: int, features: int = 2) -> tuple[Tensor, Tensor]:
    centres = torch.randn(count, features) * 20
    rows = centres.repeat_interleave(rows_each, 0) + 0.1 * torch.randn(count * rows_each, features)
    return rows[torch.randperm(len(rows))], centres


def test_lloyd_follows_scikit_learn() -> None:
    torch.manual_seed(0)  # of 60 draws one has a row that lies between two centres
    rows, start = torch.randn(500, 4), torch.randn(12, 4)
    expected = KMeans(12, init=start.numpy(), n_init=1, max_iter=7, tol=0, algorithm="lloyd").fit(
        rows.numpy()
    )
    np.testing.assert_allclose(lloyd(rows, start, steps=7), expected.cluster_centers_, rtol=1e-4, atol=1e-4)


def test_lloyd_by_group_equals_each_group_alone() -> None:
    rows, start = torch.randn(3, 200, 5), torch.randn(3, 9, 5)
    together = lloyd(rows, start, steps=4)
    for group in range(3):
        torch.testing.assert_close(together[group], lloyd(rows[group], start[group], steps=4))


def test_codes_without_rows_are_refilled() -> None:
    rows = torch.randn(400, 4)
    start = torch.cat([rows[:1], torch.full((15, 4), 1e6)])  # one code takes all rows
    codes = lloyd(rows, start, steps=12)
    assert len(nearest(rows, codes).unique()) == 16
    assert _error(rows, codes) < 1.1 * _error(rows, lloyd(rows, rows[:16], steps=12))


def test_kmeans_moves_codes_without_rows_as_lloyd_does() -> None:
    rows = torch.randn(200, 3)
    start = torch.cat([rows[:5], 100 + rows[:5]])
    torch.testing.assert_close(kmeans(rows, 10, steps=3, start=start), lloyd(rows, start, steps=3))


def test_a_code_without_rows_stays_where_no_row_has_an_error() -> None:
    rows = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    start = torch.cat([rows, torch.full((3, 2), 50.0)])
    assert torch.equal(lloyd(rows, start, steps=3), start)


@pytest.mark.parametrize("weights", [torch.bool, torch.float32])
def test_rows_of_weight_zero_do_not_matter(weights: torch.dtype) -> None:
    rows, start = torch.randn(60, 3), torch.randn(20, 3)
    mask = torch.rand(60) > 0.3
    poisoned = torch.where(mask[:, None], rows, float("nan"))
    torch.testing.assert_close(
        lloyd(poisoned, start, steps=5, weights=mask.to(weights)), lloyd(rows[mask], start, steps=5)
    )


def test_no_rows_leave_the_start() -> None:
    start = torch.randn(4, 3)
    assert torch.equal(lloyd(torch.empty(0, 3), start, steps=2), start)
    assert torch.equal(lloyd(torch.randn(5, 3), start, steps=0), start)
    assert torch.equal(lloyd(torch.randn(5, 3), start, steps=2, weights=torch.zeros(5)), start)


def test_lloyd_compiles_to_one_graph() -> None:
    rows, start = torch.randn(50, 3), torch.randn(6, 3)
    compiled = torch.compile(lloyd, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(rows, start, steps=3), lloyd(rows, start, steps=3))


@pytest.mark.parametrize("start", ["sample", "k-means++"])
def test_a_stream_equals_one_tensor_and_reaches_scikit_learn(start: str) -> None:
    rows = torch.randn(600, 5)
    codes = kmeans(rows, 10, steps=15, start=start, seed=3)
    expected = KMeans(10, n_init=10, random_state=0).fit(rows.numpy())
    assert _error(rows, codes) < 1.1 * expected.inertia_ / len(rows)
    streamed = kmeans(list(rows.split(97)), 10, steps=15, start=start, seed=3)
    assert _error(rows, streamed) < 1.1 * expected.inertia_ / len(rows)


def test_means_of_many_equal_rows_do_not_drift() -> None:
    """Added up one by one in float32, equal numbers all round the same way."""
    batch = torch.full((2**19, 1), 10.1)
    np.testing.assert_allclose(kmeans([batch] * 3, 1, steps=1), batch[:1], rtol=1e-6)


def test_each_seed_draws_its_own_start_and_repeats() -> None:
    rows = torch.randn(300, 4)
    first, again, other = (kmeans(rows, 8, steps=0, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.unique(dim=0)) == 8
    assert all((rows == code).all(-1).any() for code in first)


def test_k_means_plus_plus_spreads_the_start() -> None:
    rows, centres = _clusters(16, 40)
    codes = kmeans(rows, 16, steps=0, start="k-means++")
    assert len(nearest(codes, centres).unique()) >= 15


def test_rows_that_are_not_finite_are_left_out_of_any_group() -> None:
    rows = torch.randn(2, 80, 3)
    rows[0, ::4] = float("nan")
    assert kmeans(rows, 30, steps=3).isfinite().all()
    assert kmeans([rows[:, :40], rows[:, 40:]], 30, steps=3).shape == (2, 30, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_which_rows_are_finite(dtype: torch.dtype) -> None:
    rows = torch.full((4, 5, 3), torch.finfo(dtype).max, dtype=dtype)
    assert finite_rows(rows).all()
    assert finite_rows(torch.randn(4, 5, 3).to(dtype)).tolist() == [[True] * 5] * 4
    rows[0, 1, 2], rows[3, 4, 0], rows[2, 2, :2] = (
        torch.inf,
        torch.nan,
        torch.tensor([torch.inf, -torch.inf], dtype=dtype),
    )
    assert (~finite_rows(rows)).nonzero().tolist() == [[0, 1], [2, 2], [3, 4]]


def test_bad_input_is_named() -> None:
    rows = torch.randn(5, 2)
    with pytest.raises(CodewordError, match="at least 6 finite rows, but got 5"):
        kmeans(rows, 6)
    with pytest.raises(CodewordError, match="at least one batch"):
        kmeans([], 6)
    with pytest.raises(CodewordError, match="read again, but got an iterator"):
        kmeans(iter([rows]), 2)
    with pytest.raises(CodewordError, match="start 'sample' or 'k-means\\+\\+', but got 'random'"):
        kmeans(rows, 2, start="random")
    with pytest.raises(CodewordError, match="floating rows"):
        kmeans([rows.long()], 2)


def test_codes_to_start_from_are_as_many_as_asked_for():
    rows = torch.randn(40, 3)
    with pytest.raises(CodewordError, match=r"floating codes \(\.\.\., 2, D\)"):
        kmeans(rows, 2, start=rows[:5])
    assert kmeans(rows, 5, start=rows[:5].half()).dtype == torch.float32


def test_a_weight_of_two_is_a_row_that_is_there_twice() -> None:
    draw = torch.Generator().manual_seed(0)
    rows, times = torch.randn(200, 4, generator=draw), torch.randint(0, 4, (200,), generator=draw)
    times[:9], start = (
        2,
        rows[:9],
    )  # no code is ever without rows: a new place for it would be drawn otherwise
    expected = kmeans(rows.repeat_interleave(times, 0), 9, steps=6, start=start)
    torch.testing.assert_close(kmeans(rows, 9, steps=6, start=start, weights=times.float()), expected)
    batches = list(rows.split(70))
    torch.testing.assert_close(kmeans(batches, 9, steps=6, start=start, weights=times.double()), expected)


@pytest.mark.parametrize("start", ["sample", "k-means++"])
def test_starts_draw_by_weight(start: str) -> None:
    """Of 300 rows on a line the last hundred have nearly all weight, the first hundred none."""
    rows = torch.arange(300.0)[:, None]
    weights = torch.tensor([0.0, 1e-6, 1.0]).repeat_interleave(100)
    drawn = torch.cat([kmeans(rows, 2, steps=0, start=start, weights=weights, seed=s) for s in range(20)])
    assert (drawn >= 100).all()
    assert (drawn >= 200).float().mean() > 0.9


def test_spherical_kmeans_follows_numpy() -> None:
    rows, start = torch.randn(300, 5), torch.randn(7, 5)
    codes = kmeans(rows, 7, steps=4, start=start, metric="cosine")
    x = rows.double().numpy()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    expected = start.double().numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for _ in range(4):
        chosen = (x @ expected.T).argmax(1)
        expected = np.stack([x[chosen == k].sum(0) for k in range(7)])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(codes, expected, atol=1e-5)
    lengths = torch.rand(300, 1) + 0.1
    torch.testing.assert_close(kmeans(lengths * rows, 7, steps=4, start=start, metric="cosine"), codes)


def test_rows_without_a_direction_are_left_out_of_spherical_kmeans() -> None:
    rows = torch.cat([torch.randn(50, 3), torch.zeros(20, 3)])
    assert kmeans(rows, 50, steps=1, metric="cosine").isfinite().all()
    with pytest.raises(CodewordError, match="at least 51 finite rows, but got 50"):
        kmeans(rows, 51, metric="cosine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "dot"}, "metric 'euclidean' or 'cosine', but got 'dot'"),
        ({"weights": torch.ones(20).long()}, r"floating tensor \(..., N\), but got torch.int64"),
        ({"weights": [1.0] * 20}, "but got list"),
        ({"weights": -torch.ones(20)}, "finite weights from 0 up"),
        ({"weights": torch.ones(19)}, r"one weight for each row of all batches, but got weights \(19,\)"),
        ({"weights": torch.ones(21)}, r"but got weights \(21,\) for 20 rows"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(CodewordError, match=message):
        kmeans(torch.randn(20, 3), 2, **options)
