"""Numbers whose squares float32 cannot hold: the search finds what NumPy finds in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import kmeans, lloyd, nearest


@pytest.fixture(params=[False, True], ids=["denormal", "flushed"])
def flushed(request: pytest.FixtureRequest) -> Iterator[None]:
    """With and without numbers below 1e-38 being set to 0."""
    torch.set_flush_denormal(request.param)
    yield
    torch.set_flush_denormal(False)


def expected(x: Tensor, codes: Tensor, metric: str) -> np.ndarray:
    """Indices (N, K), the nearest first."""
    rows, book = x.double().numpy(), codes.double().numpy()
    lengths = np.linalg.norm(book, axis=-1) if metric == "cosine" else 1.0
    scores = ((rows[:, None] - book) ** 2).sum(-1) if metric == "euclidean" else -(rows @ book.T) / lengths
    return np.argsort(scores, axis=1, kind="stable")


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("scale", [1e-36, 1e-30, 1e-20, 1e-16, 1e10, 1e20, 1e30, 1e37])
@pytest.mark.parametrize("k", [1, 2])
def test_any_scale_of_float32(flushed: None, metric: str, scale: float, k: int) -> None:
    x, codes = scale * torch.randn(200, 8), scale * torch.randn(40, 8)
    found = nearest(x, codes, metric=metric, k=k).view(200, k)
    np.testing.assert_array_equal(found, expected(x, codes, metric)[:, :k])


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize(("of_rows", "of_codes"), [(1e30, 1.0), (1.0, 1e30), (1e-30, 1e30), (1e36, 1e-36)])
def test_rows_and_codes_of_unlike_scales(metric: str, of_rows: float, of_codes: float) -> None:
    x, codes = of_rows * torch.randn(50, 8), of_codes * torch.randn(40, 8)
    distances = nearest(x, codes, metric=metric, return_distances=True)[1]
    assert distances.dtype == torch.float32
    found = nearest(x, codes, metric=metric)
    if of_rows > 1e15 * of_codes and metric == "euclidean":
        metric = "dot"  # the same, but for |c|^2, which no difference of float64 shows beside |x|^2
    np.testing.assert_array_equal(found, expected(x, codes, metric)[:, 0])


@pytest.mark.parametrize("far", [1e20, 1e38, 1e-20])
def test_one_row_or_code_of_another_scale_leaves_the_others_right(far: float) -> None:
    x, codes = torch.randn(50, 8), torch.randn(40, 8)
    x[7], x[9], codes[11] = far, float("nan"), far
    x[8] = 0.0
    found = expected(x, codes, "euclidean")[:, 0]
    found[9] = 0
    np.testing.assert_array_equal(nearest(x, codes), found)


def test_compiled_alike() -> None:
    x, codes = 1e30 * torch.randn(50, 8), 1e30 * torch.randn(40, 8)
    compiled = torch.compile(lambda x, c: nearest(x, c), fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, codes), nearest(x, codes))


def test_cosine_distances_do_not_see_the_scale(flushed: None) -> None:
    x, codes = torch.randn(50, 8), torch.randn(40, 8)
    wanted = nearest(x, codes, metric="cosine", return_distances=True)[1]
    for scale in (1e-30, 1e30):
        distances = nearest(scale * x, scale * codes, metric="cosine", return_distances=True)[1]
        np.testing.assert_allclose(distances, wanted, rtol=1e-4, atol=1e-6)


def test_what_float64_cannot_hold_is_named() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)
    for scale in (1e-200, 1e200):
        with pytest.raises(CodewordError, match="within 1e-115 to 1e115, but got some beyond; divide"):
            nearest(scale * x, scale * x)


@pytest.mark.parametrize("scale", [2.0**-70, 2.0**100])
def test_k_means_does_not_see_the_scale(flushed: None, scale: float) -> None:
    """Powers of two: all numbers are those of the plain scale, with another exponent."""
    x, start = torch.randn(300, 4), torch.cat([torch.randn(9, 4), torch.full((3, 4), 50.0)])
    assert torch.equal(lloyd(scale * x, scale * start, steps=4), scale * lloyd(x, start, steps=4))
    for how in ("sample", "k-means++"):
        assert torch.equal(kmeans(scale * x, 9, start=how), scale * kmeans(x, 9, start=how))
