"""The public segment sum: shapes, weights, dtypes and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword.errors import CodewordError
from codeword.functional import segment_sum


@pytest.mark.parametrize("lead", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("weights", [None, "bool", "float"])
def test_sums_and_counts(lead: tuple[int, ...], weights: str | None) -> None:
    rows, indices = torch.randn(*lead, 41, 3), torch.randint(6, (*lead, 41))
    weight = {None: None, "bool": torch.rand(*lead, 41) > 0.4, "float": torch.rand(*lead, 41)}[weights]
    counts, sums = segment_sum(rows, indices, 6, weight)
    one_hot = np.eye(6)[indices.numpy()]
    if weight is not None:
        one_hot = one_hot * weight.double().numpy()[..., None]
    np.testing.assert_allclose(counts, one_hot.sum(-2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sums, one_hot.swapaxes(-1, -2) @ rows.double().numpy(), rtol=1e-5, atol=1e-5)


def test_weight_zero_leaves_out_whatever_the_row_holds() -> None:
    rows = torch.tensor([[1.0], [float("nan")], [float("inf")]])
    weights = torch.tensor([True, False, False])
    counts, sums = segment_sum(rows, torch.tensor([1, 1, 0]), 2, weights)
    assert counts.tolist() == [0, 1]
    assert sums.tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("dtype", "result"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)], ids=str
)
def test_sums_are_float32_or_wider(dtype: torch.dtype, result: torch.dtype) -> None:
    rows, indices = torch.ones(1000, 2, dtype=dtype), torch.zeros(1000, dtype=torch.int64)
    counts, sums = segment_sum(rows, indices, 2)
    assert (counts.dtype, sums.dtype) == (torch.int64, result)
    assert segment_sum(rows, indices, 2, torch.ones(1000, dtype=torch.bool))[0].dtype == torch.int64
    assert segment_sum(rows, indices, 2, torch.ones(1000))[0].dtype == result
    assert sums.tolist() == [[1000.0, 1000.0], [0.0, 0.0]]


def test_the_mean_of_more_rows_than_float32_can_count() -> None:
    rows = torch.arange(2.0).repeat_interleave(9 * 2**20)[:, None] + 10
    indices, mask = torch.zeros(len(rows), dtype=torch.int64), torch.ones(len(rows), dtype=torch.bool)
    counts, sums = segment_sum(rows, indices, 2, mask)
    assert counts.tolist() == [len(rows), 0]
    assert float(sums[0] / counts[0]) == 10.5


def test_vmap_sums_each_group() -> None:
    rows, indices, mask = torch.randn(3, 9, 2), torch.randint(4, (3, 9)), torch.rand(9) > 0.5
    counts, sums = torch.func.vmap(lambda r, i: segment_sum(r, i, 4, mask))(rows, indices)
    expected = segment_sum(rows, indices, 4, mask.expand(3, 9))
    assert torch.equal(counts, expected[0])
    assert torch.equal(sums, expected[1])


def test_no_rows() -> None:
    counts, sums = segment_sum(torch.empty(2, 0, 3), torch.empty(2, 0, dtype=torch.int64), 4)
    assert counts.tolist() == [[0] * 4] * 2
    assert sums.shape == (2, 4, 3)


def test_bad_input_is_named() -> None:
    rows, indices = torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(CodewordError, match="floating rows"):
        segment_sum(rows.long(), indices, 3)
    with pytest.raises(CodewordError, match=r"int64 indices of shape \(4,\), but got torch.int32"):
        segment_sum(rows, indices.int(), 3)
    with pytest.raises(CodewordError, match=r"weights of shape \(4,\), but got \(3,\)"):
        segment_sum(rows, indices, 3, torch.ones(3))
