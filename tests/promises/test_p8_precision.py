"""P8: codes, statistics and search are float32 or wider; the output has the input's dtype."""

from __future__ import annotations

import copy

import pytest
import torch

from promises.cases import every_case

HALVES = [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)]  # alike but for their range


def wide_state(quantizer) -> dict[str, torch.Tensor]:
    """The state that must not lose precision: all but projections and convolutions, which are ordinary weights."""
    return {k: v for k, v in quantizer.state_dict().items() if "project_" not in k and "blends." not in k}


@pytest.mark.parametrize("cast", ["half", "bfloat16"])
@every_case("P8")
def test_cast_keeps_state_exactly(case, cast):
    quantizer = case.trained()
    before = copy.deepcopy(wide_state(quantizer))
    getattr(quantizer, cast)()
    for key, value in wide_state(quantizer).items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])


@every_case("P8")
def test_double_widens(case):
    quantizer = case.trained().double()
    out = quantizer(case.x().double())
    assert out.quantized.dtype == torch.float64
    if case.decodes:
        assert quantizer.decode(out.indices, dtype=torch.float64).equal(out.quantized)


@pytest.mark.parametrize("dtype", HALVES)
@every_case("P8")
def test_half_input_trains_as_its_float32_value(case, dtype):
    torch.manual_seed(0)
    wide = case.build()
    half = copy.deepcopy(wide)
    for step in range(4):
        x = case.x(step).to(dtype)
        a, b = half(x), wide(x.float())
        assert a.quantized.dtype == dtype
        assert torch.equal(a.indices, b.indices)
        assert torch.equal(a.quantized, b.quantized.to(dtype))
    for key, value in half.state_dict().items():
        assert torch.equal(value, wide.state_dict()[key]), key


@pytest.mark.parametrize("dtype", HALVES)
@every_case("P8")
def test_autocast_changes_nothing(case, dtype):
    torch.manual_seed(0)
    plain = case.build()
    cast = copy.deepcopy(plain)
    for step in range(4):
        a = plain(case.x(step))
        with torch.autocast("cpu", dtype=dtype):
            b = cast(case.x(step))
            if case.decodes:
                assert torch.equal(cast.decode(b.indices), b.quantized)
        assert torch.equal(a.quantized, b.quantized)
        assert torch.equal(a.loss, b.loss)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, cast.state_dict()[key]), key


@every_case("P8", one_in=8)
def test_counts_of_a_bfloat16_module_do_not_freeze(case):
    torch.manual_seed(0)
    wide = case.build()
    if any("project_" in key for key in wide.state_dict()):
        return  # the projections themselves are rounded, so the rows are others
    half = copy.deepcopy(wide).bfloat16()
    for step in range(100):
        x = case.x(step).bfloat16()
        half(x), wide(x.float())
    for key, value in wide_state(wide).items():
        assert torch.equal(value, half.state_dict()[key]), key
