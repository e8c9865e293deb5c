"""What is computed does not depend on torch's default dtype or device, nor on autocast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from codeword.functional import (
    kmeans,
    lloyd,
    nearest,
    prepare,
    progressive_kmeans,
    replace_gradient,
    search,
    segment_sum,
    squared_error,
)
from codeword.functional.valid import Valid
from codeword.quantizers.composite.beam import beam_search


@pytest.fixture(params=[torch.bfloat16, torch.float16, torch.float64, "meta", "autocast"], ids=str)
def default(request: pytest.FixtureRequest) -> Iterator[torch.dtype | str]:
    yield request.param
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def _results() -> list[torch.Tensor]:
    generator = torch.Generator("cpu").manual_seed(0)
    x = torch.randn(600, 40, generator=generator, dtype=torch.float32, device="cpu")
    book, indices, mask = x[:70] + 0.5, (x[:, 0] > 0).long(), x[:, 1] > 0
    results = [
        *prepare(book, "dot"),
        nearest(x, book, k=2),
        search(x, prepare(book)),
        search(x, prepare(book), 3),
    ]
    for metric in ("euclidean", "cosine", "dot"):
        results += [nearest(x, book, metric=metric), *nearest(x, book, metric=metric, return_distances=True)]
    results += [nearest(x * 1e30, book * 1e30), nearest(x.double(), book.double())]
    for weights in (None, mask, x[:, 2].abs()):
        results += segment_sum(x, indices, 2, weights)
    results += [lloyd(x, book, steps=2), kmeans([x, -x], 30, steps=2), kmeans(x, 9, start="k-means++")]
    results += [progressive_kmeans(x, 5, steps=10), replace_gradient(x, 2 * x)]
    with torch.autocast("cpu", enabled=False):  # as quantizers do
        results += [squared_error(x, x.round(), Valid.of(mask).weights(x.dtype))]
        results += [beam_search(x, [book, book / 2], beam) for beam in (1, 4)]
    return results


@pytest.mark.parametrize("kernel", ["", "blocked", "reference"])  # "": the fastest
def test_results_do_not_depend_on_them(
    default: torch.dtype | str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEWORD_KERNEL", kernel)
    expected = _results()
    if isinstance(default, torch.dtype):
        torch.set_default_dtype(default)
    elif default == "meta":
        torch.set_default_device(default)
    with torch.autocast("cpu", enabled=default == "autocast"):
        results = _results()
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == wanted.dtype
        assert torch.equal(result, wanted)
