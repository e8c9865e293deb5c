"""Run by test_triton.py with TRITON_INTERPRET=1: what a training step does around its searches, beside plain torch."""

from __future__ import annotations

import torch
from _data import guarded, hard

from codeword.kernels import draws
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


def main() -> None:
    torch.manual_seed(0)
    for check in (check_prepared_codes, check_draws):
        check()


if __name__ == "__main__":
    main()
