"""Run by test_triton.py with TRITON_INTERPRET=1: what a training step does around its searches, beside plain torch."""

from __future__ import annotations

import torch
from _data import guarded, hard

from codeword.kernels import draws
from codeword.kernels import moving_average as average
from codeword.kernels.nearest import prepare
from codeword.kernels.nearest.prepare import prepare as plain


def check_prepared_codes() -> None:
    for groups, k, d in ((1, 1, 1), (2, 7, 3), (1, 130, 20), (2, 65, 70)):
        for kind in ("normal", "offset", "whole numbers", "equal codes", "not finite"):
            _, codes = hard(kind, groups, 3, k, d)
            for metric in ("euclidean", "dot"):
                ours, right = prepare(guarded(codes), metric), plain(codes, metric)
                assert torch.equal(ours.shift, right.shift), (kind, k, d)  # an entry of a code, or 0
                assert torch.equal(ours.codes, right.codes)
                torch.testing.assert_close(ours.offsets, right.offsets, rtol=1e-6, atol=0)
    for value in (torch.nan, torch.inf, -torch.inf):
        codes = torch.full((1, 5, 2), value)
        for ours, right in zip(prepare(codes, "euclidean"), plain(codes, "euclidean"), strict=True):
            assert torch.equal(ours, right)
    one = torch.randn(9, 4)
    assert [part.shape for part in prepare(one, "dot")] == [(9, 4), (9,), (4,)]
    mapped = torch.func.vmap(lambda codes: prepare(codes, "euclidean"))(torch.stack([one, one + 1]))
    assert torch.equal(mapped.codes[1], prepare(one + 1, "euclidean").codes)
    torch.library.opcheck(torch.ops.codeword.prepare.default, (one[None], "euclidean"))


def check_draws() -> None:
    """Whole numbers: the same as in plain torch, to the last bit."""
    for count, sets in ((1, 1), (7, 3), (300, 2)):
        for total in (0, 1, 5, 300, 2**31 - 1):
            given = torch.tensor(2**61 + 12345), torch.tensor(total), 0x9ABCDEF0, count, sets
            for ours, right in zip(draws.strata(*given), draws.plain(*given), strict=True):
                assert torch.equal(ours, right), (count, sets, total)
    torch.library.opcheck(draws.strata, (torch.tensor(77), torch.tensor(9), 5, 4, 2))


def check_moving_average() -> None:
    """Against float64; a code that no row chose stays exactly where it is, and so does all in a step without rows."""
    for groups, k, d in ((1, 1, 1), (2, 35, 3), (3, 33, 70)):
        for decay in (None, 0.9, 0.2):
            for total in (0, 3, 10**6):
                codes, sums = torch.randn(2, groups, k, d)
                size, counts = torch.rand(groups, k), torch.randint(5, (groups, k)).float()
                counts[:, 0], sums[:, 0] = 0, 0
                if not total:
                    counts, sums = torch.zeros_like(counts), torch.zeros_like(sums)
                given = codes, size, counts, sums
                rows = torch.tensor(total)
                moved, after = average.moving_average(*map(guarded, given), rows, decay)
                right = average.plain(*(part.double() for part in given), rows, decay)
                torch.testing.assert_close(moved.double(), right[0], rtol=1e-5, atol=1e-5)
                torch.testing.assert_close(after.double(), right[1], rtol=1e-5, atol=1e-6)
                assert torch.equal(moved[:, 0], codes[:, 0])
                if not total:
                    assert torch.equal(moved, codes)
    given = torch.randn(2, 4, 3), torch.rand(2, 4), torch.ones(2, 4), torch.randn(2, 4, 3), torch.tensor(8)
    torch.library.opcheck(average.moving_average, (*given, None))


def main() -> None:
    torch.manual_seed(0)
    for check in (check_prepared_codes, check_draws, check_moving_average):
        check()


if __name__ == "__main__":
    main()
