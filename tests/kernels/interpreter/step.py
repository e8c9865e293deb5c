"""Run by test_triton.py with TRITON_INTERPRET=1: what a training step does around its searches, beside plain torch."""

from __future__ import annotations

import sys

import torch
from _data import guarded, hard

from codeword.functional import Valid
from codeword.functional.losses import valid_squared_error
from codeword.kernels import draws
from codeword.kernels import moving_average as average
from codeword.kernels.nearest import prepare
from codeword.kernels.nearest.prepare import prepare as plain
from codeword.kernels.running_sums import running_sums
from codeword.kernels.squared_error import serves, squared_error


def check_those(kind: str, groups: int, k: int, d: int) -> None:
    metric = "dot" if k % 2 else "euclidean"
    _, codes = hard(kind, groups, 3, k, d)
    ours, right = prepare(guarded(codes), metric), plain(codes, metric)
    assert ours.packed
    assert (ours.offsets[:, k:] == -torch.inf).all()
    assert not ours.unpacked().codes[:, k:].any()
    assert torch.equal(ours.shift, right.shift), (kind, k, d)  # an entry of a code, or 0
    assert torch.equal(ours.unpacked().codes[:, :k], right.codes)
    torch.testing.assert_close(ours.offsets[:, :k], right.offsets, rtol=1e-6, atol=0)


def check_a_few_prepared_codes() -> None:
    check_those("normal", 1, 1, 1)
    check_those("not finite", 2, 8, 3)
    check_those("equal codes", 1, 70, 20)


def check_prepared_codes() -> None:
    check_a_few_prepared_codes()
    for number, sizes in enumerate(((1, 130, 20), (2, 65, 70), (1, 9, 300), (2, 9, 64), (1, 300, 5))):
        check_those(("normal", "offset", "whole numbers", "equal codes", "not finite")[number], *sizes)
    for value in (torch.nan, torch.inf, -torch.inf):
        codes = torch.full((1, 5, 2), value)
        ours, right = prepare(codes, "euclidean").unpacked(), plain(codes, "euclidean")
        assert torch.equal(ours.codes[:, :5], right.codes)
        assert torch.equal(ours.offsets[:, :5], right.offsets)
    one = torch.randn(9, 4)
    assert [part.shape for part in prepare(one, "dot").unpacked()] == [(64, 4), (64,), (4,)]
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


def check_moving_average_in_place() -> None:
    codes, sums = torch.randn(2, 35, 70)
    size, counts, rows = torch.rand(1, 35), torch.randint(5, (1, 35)).float(), torch.tensor(300)
    right = average.plain(
        codes[None].double(), size.double(), counts.double(), sums[None].double(), rows, 0.9
    )
    version = codes._version
    assert average.writes_in_place([codes])
    assert not average.writes_in_place([codes, codes])
    after = average.in_place_([codes], size, counts, sums[None], rows, 0.9)
    torch.testing.assert_close(codes.double(), right[0][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after.double(), right[1], rtol=1e-5, atol=1e-6)
    assert codes._version > version  # by which prepared codes are known to be old


def check_running_sums() -> None:
    for shape in ((1, 1, 1), (3, 5, 7), (8, 40, 33)):
        terms = guarded(torch.randn(shape))
        before, total = running_sums(terms)
        added, sums = torch.zeros(shape[1:]), []
        for term in terms:
            sums.append(added)
            added = added + term
        assert torch.equal(before, torch.stack(sums))
        assert torch.equal(total, added)
    assert [part.shape for part in running_sums(torch.empty(2, 0, 3))] == [(2, 0, 3), (0, 3)]
    torch.library.opcheck(torch.ops.codeword.running_sums.default, (torch.randn(2, 3, 4),))


def check_squared_error() -> None:
    for groups, n, d in ((1, 1, 1), (3, 70, 5), (1, 300, 130)):
        rows, targets, mask = torch.randn(groups, n, d), torch.randn(groups, n, d), torch.rand(n) > 0.3
        rows[:, ~mask] = torch.nan  # what is left out may be anything
        given = guarded(rows), guarded(targets), mask
        right = (rows[:, mask].double() - targets[:, mask].double()).square().sum() / max(
            1, mask.sum() * groups * d
        )
        torch.testing.assert_close(squared_error(*given).double(), right, rtol=1e-6, atol=1e-12)
        assert torch.equal(squared_error(*given), squared_error(*given))
        assert not squared_error(rows, targets, torch.zeros(n, dtype=torch.bool))
        with torch.no_grad():
            assert serves(rows)
            valid = Valid(mask, None)  # type: ignore[arg-type]
            assert torch.equal(valid_squared_error(rows, targets, valid), squared_error(*given))
    assert not serves(rows)
    assert not squared_error(torch.empty(1, 0, 3), torch.empty(1, 0, 3), torch.empty(0, dtype=torch.bool))
    torch.library.opcheck(squared_error, (torch.randn(1, 9, 4), torch.randn(1, 9, 4), torch.rand(9) > 0.5))


SHORT = (
    check_draws,
    check_moving_average,
    check_moving_average_in_place,
    check_running_sums,
    check_squared_error,
)
CHECKS = (check_a_few_prepared_codes, check_prepared_codes, *SHORT)


def main() -> None:
    """Those named on the command line, or all."""
    torch.manual_seed(0)
    for check in CHECKS:
        if not sys.argv[1:] or check.__name__ in sys.argv:
            check()


if __name__ == "__main__":
    main()
