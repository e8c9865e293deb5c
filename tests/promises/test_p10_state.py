"""P10: state reloads strictly, resumes bit for bit and is clean for safetensors."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from safetensors.torch import load_file, save_file

from promises.cases import every_case


@pytest.mark.parametrize("steps", [*(pytest.param(steps, marks=pytest.mark.slow) for steps in (0, 1)), 4])
@every_case("P10")
def test_resume_is_bit_for_bit(case, steps, tmp_path):
    quantizer = case.trained(steps)
    save_file(quantizer.state_dict(), tmp_path / "state.safetensors")
    torch.manual_seed(123)  # another start, that loading must overwrite
    resumed = case.build()
    resumed.load_state_dict(load_file(tmp_path / "state.safetensors"), strict=True)
    for step in range(10, 15):
        a, b = quantizer(case.x(step, scale=3.0)), resumed(case.x(step, scale=3.0))
        assert torch.equal(a.quantized, b.quantized)
        assert torch.equal(a.loss, b.loss)
    for key, value in quantizer.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@every_case("P10")
def test_copies_and_pickles_go_on_alike(case):
    quantizer = case.trained()
    buffer = io.BytesIO()
    torch.save(quantizer.state_dict(), buffer)
    buffer.seek(0)
    other = case.build()
    other.load_state_dict(torch.load(buffer, weights_only=True), assign=True)
    for twin in (copy.deepcopy(quantizer), other):
        x = case.x(5)
        assert torch.equal(copy.deepcopy(quantizer)(x).quantized, twin(x).quantized)


@every_case("P10")
def test_meta_device_and_to_empty(case):
    quantizer = case.trained()
    with torch.device("meta"):
        hollow = case.build()
    hollow = hollow.to_empty(device="cpu")
    hollow.load_state_dict(quantizer.state_dict())
    assert torch.equal(hollow.eval()(case.x(5)).quantized, quantizer.eval()(case.x(5)).quantized)


@every_case("P10")
def test_spec_builds_the_same_quantizer(case):
    import codeword

    quantizer = case.build()
    twin = codeword.from_spec(quantizer.spec, features=quantizer.features, dim=quantizer.dim)
    assert twin.spec == quantizer.spec
    assert repr(twin) == repr(quantizer)
    twin.load_state_dict(quantizer.state_dict())
