"""P3: indices decode to exactly what forward returned."""

from __future__ import annotations

import torch

from promises.cases import every_case


@every_case("P3")
def test_eval(case):
    quantizer = case.trained().eval()
    x = case.x(9)
    out = quantizer(x)
    assert torch.equal(out.indices, quantizer.encode(x))
    assert torch.equal(out.quantized, quantizer.decode(out.indices))


@every_case("P3")
def test_masked(case):
    quantizer = case.trained().eval()
    x = case.x(9)
    mask = case.mask(x)
    out = quantizer(x, mask)
    assert torch.equal(out.indices, quantizer.encode(x, mask))
    assert torch.equal(out.quantized, quantizer.decode(out.indices))


@every_case("P3")
def test_training_output_is_made_of_the_updated_codes(case):
    quantizer = case.trained()
    out = quantizer(case.x(9))
    assert torch.equal(out.quantized, quantizer.decode(out.indices))


@every_case("P3")
def test_before_any_training(case):
    torch.manual_seed(0)
    quantizer = case.build().eval()
    out = quantizer(case.x())
    assert torch.equal(out.quantized, quantizer.decode(out.indices))


@every_case("P3")
def test_half_precision_output_is_the_rounded_decode(case):
    quantizer = case.trained().eval()
    for dtype in (torch.bfloat16, torch.float16):
        out = quantizer(case.x().to(dtype))
        assert torch.equal(out.quantized, quantizer.decode(out.indices, dtype=dtype))
