"""Run by test_triton.py with TRITON_INTERPRET=1: segment sums against NumPy in float64."""

from __future__ import annotations

import numpy as np
import torch
from _data import guarded
from torch import Tensor

from codeword.kernels.segment_sum import segment_sum, triton


def expected(
    rows: Tensor, indices: Tensor, size: int, weights: Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    groups, count, features = rows.shape
    counts, sums = np.zeros((groups, size)), np.zeros((groups, size, features))
    factors = np.ones((groups, count)) if weights is None else weights.double().numpy()
    for group in range(groups):
        kept = factors[group] != 0
        index, factor = indices[group].numpy()[kept], factors[group][kept]
        np.add.at(counts[group], index, factor)
        np.add.at(sums[group], index, rows[group].double().numpy()[kept] * factor[:, None])
    return counts, sums


def check(groups: int, count: int, size: int, features: int, *, uneven: bool = False) -> None:
    rows, indices = torch.randn(groups, count, features), torch.randint(size, (groups, count))
    if uneven:  # one segment has nearly all, and some have none
        indices[torch.rand(indices.shape) < 0.9] = size // 2
    for weights in (None, torch.rand(groups, count) > 0.3, torch.rand(groups, count).round(decimals=1)):
        own = rows.clone()
        if weights is not None:
            own[weights == 0] = torch.nan  # what is left out may be anything
        given = (guarded(own), indices, size, weights, True)
        counts, sums = segment_sum(*given)
        right_counts, right_sums = expected(own, indices, size, weights)
        np.testing.assert_allclose(sums.numpy(), right_sums, atol=2e-6 * max(count / size, 1) ** 0.5 + 1e-5)
        np.testing.assert_allclose(counts.numpy(), right_counts, rtol=1e-6)
        assert counts.dtype == (
            torch.float64 if weights is not None and weights.is_floating_point() else torch.int64
        )
        narrow = segment_sum(*given[:4], False)[1]
        assert torch.equal(narrow, sums.float())
        again = segment_sum(*given)
        assert torch.equal(again[0], counts)
        assert torch.equal(again[1], sums)


def main() -> None:
    torch.manual_seed(0)
    check(1, 1, 1, 1)
    check(2, 50, 7, 5)
    check(3, 37, 4, 0)
    check(1, 60, 5, 130)
    for piece in (8, 16, 32):  # pieces inside segments, at their edges, and over several
        triton.PIECE = piece
        check(1, 130, 3, 4)
        check(2, 64, 9, 3, uneven=True)
        ordered = torch.arange(64).div(16, rounding_mode="floor")[None]  # segments that end where pieces do
        counts, sums = segment_sum(torch.ones(1, 64, 2), ordered, 4, None, False)
        assert counts.tolist() == [[16] * 4]
        assert sums.tolist() == [[[16.0] * 2] * 4]
    assert [
        part.shape for part in segment_sum(torch.ones(2, 0, 3), torch.ones(2, 0).long(), 4, None, True)
    ] == [
        (2, 4),
        (2, 4, 3),
    ]
    for weights in (torch.rand(2, 7), torch.rand(2, 7) > 0.5):
        torch.library.opcheck(segment_sum, (torch.randn(2, 7, 3), torch.randint(4, (2, 7)), 4, weights, True))


if __name__ == "__main__":
    main()
