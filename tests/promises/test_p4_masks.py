"""P4: a masked batch gives what the cropped batch gives."""

from __future__ import annotations

import torch

from promises.cases import every_case


def rows_of(quantizer, x: torch.Tensor) -> torch.Tensor:
    return x.movedim(quantizer.dim, -1).reshape(-1, quantizer.features)


def as_input(quantizer, rows: torch.Tensor) -> torch.Tensor:
    """Rows as the smallest input with features on the quantizer's axis: (N, F), (F, N) or (N, F, 1)."""
    if quantizer.dim == 0:
        return rows.T
    return rows if quantizer.dim == -1 else rows[:, :, None]


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@every_case("P4")
def test_masked_equals_cropped_through_training(case):
    torch.manual_seed(0)
    masked, cropped = case.build(), case.build()
    cropped.load_state_dict(masked.state_dict())
    for step in range(5):
        x = case.x(step, scale=1.0 + step)
        mask = case.mask(x, step)
        padded = torch.where(mask.unsqueeze(masked.dim), x, torch.nan)  # what is masked must not matter
        short = as_input(masked, rows_of(masked, x)[mask.flatten()])
        out, reference = masked(padded, mask), cropped(short)
        close(out.loss, reference.loss)
        close(rows_of(masked, out.quantized)[mask.flatten()], rows_of(masked, reference.quantized))
        assert torch.equal(out.indices[mask].flatten(), reference.indices.flatten())
        assert (rows_of(masked, out.quantized)[~mask.flatten()] == 0).all()
        assert (out.indices[~mask] == -1).all()
    for key, value in masked.state_dict().items():
        close(value, cropped.state_dict()[key])


@every_case("P4")
def test_all_true_equals_no_mask(case):
    torch.manual_seed(0)
    a, b = case.build(), case.build()
    b.load_state_dict(a.state_dict())
    x = case.x()
    mask = torch.ones_like(case.mask(x))
    for _ in range(2):
        with_mask, without = a(x, mask), b(x)
        assert torch.equal(with_mask.quantized, without.quantized)
        assert torch.equal(with_mask.loss, without.loss)


@every_case("P4")
def test_all_false_learns_nothing(case):
    for quantizer in (case.build(), case.trained()):
        x = case.x(5)
        before = {k: v.clone() for k, v in quantizer.state_dict().items()}
        out = quantizer(x, torch.zeros_like(case.mask(x)))
        assert out.loss == 0
        assert (out.quantized == 0).all()
        assert (out.indices == -1).all()
        for key, value in quantizer.state_dict().items():
            assert value.isfinite().all(), key
            if key.endswith(("usage_count", "initialized")):
                assert torch.equal(value, before[key])
        later = quantizer(x)  # and the first real batch is taken as such
        assert later.quantized.isfinite().all()


@every_case("P4")
def test_masked_rows_get_no_gradient(case):
    quantizer = case.trained()
    x = case.x(5).requires_grad_()
    mask = case.mask(x)
    out = quantizer(x, mask)
    (out.quantized.sum() + out.loss).backward()
    gradient = rows_of(quantizer, x.grad)
    assert (gradient[~mask.flatten()] == 0).all()
    assert (gradient[mask.flatten()] != 0).any()
