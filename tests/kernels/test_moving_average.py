"""The moving average in vector code, beside its formula in float64."""

import pytest
import torch

from codeword.kernels import moving_average as kernel

pytest.importorskip("llvmlite")


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (33, 17), (20, 64)])
@pytest.mark.parametrize("decay", [None, 0.9, 0.3])
def test_vector_code_equals_the_formula(monkeypatch, shape, decay):
    monkeypatch.setenv("CODEWORD_KERNEL", "llvm")
    torch.manual_seed(shape[0])
    codes = [torch.randn(shape) for _ in range(3)]
    counts = torch.randint(0, 3, (3, shape[0])).float()
    size, total = torch.rand(3, shape[0]), counts[0].sum().long()
    sums = torch.randn(3, *shape)
    sums[counts == 0] = torch.nan  # of codes that no row chose, which are not read

    rate = min(max(int(total) / (25 * shape[0]), 0.02), 0.2) if decay is None else 1 - decay
    rate = rate if total else 0.0
    expected_size = (size.double() + rate * (counts.double() - size.double())).clamp_min(1e-20)
    old = torch.stack(codes).double()
    moved = old + (rate / expected_size)[..., None] * (sums.double() - counts.double()[..., None] * old)
    expected = torch.where(counts[..., None] > 0, moved, old)

    versions = [own._version for own in codes]
    after = kernel.in_place_(codes, size, counts, sums, total, decay)
    torch.testing.assert_close(after.double(), expected_size, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(torch.stack(codes).double(), expected, rtol=1e-5, atol=1e-5)
    assert all(own._version > version for own, version in zip(codes, versions, strict=True))


def test_a_step_without_rows_changes_nothing(monkeypatch):
    monkeypatch.setenv("CODEWORD_KERNEL", "llvm")
    codes, size = torch.randn(6, 9), torch.rand(1, 6)
    before = codes.clone()
    after = kernel.in_place_([codes], size, torch.zeros(1, 6), torch.zeros(1, 6, 9), torch.tensor(0), None)
    assert codes.equal(before)
    assert after.equal(size)
