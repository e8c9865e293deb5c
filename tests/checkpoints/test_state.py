"""Tensors in safetensors files: of any kind, sharing memory or not, under any default dtype."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import codeword
from codeword import checkpoints
from codeword.checkpoints.state import digest_of, read_tensors, write_tensors
from codeword.tokenizers import ImageTokenizer

KINDS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
KINDS += ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "complex64"]


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_numbers_comes_back(tmp_path: Path, kind: str) -> None:
    shapes = [(), (0, 3), (2, 3), (5,)]
    tensors = {
        f"{number}": torch.arange(np.prod(shape), dtype=torch.float32).reshape(shape).to(getattr(torch, kind))
        for number, shape in enumerate(shapes)
    }
    write_tensors(tmp_path / "a.safetensors", tensors, {"what": [1, "ü"]})
    found, header = read_tensors(tmp_path / "a.safetensors")
    assert header == {"what": [1, "ü"]}
    assert found.keys() == tensors.keys()
    for name, tensor in found.items():
        assert tensor.dtype == tensors[name].dtype
        assert tensor.shape == tensors[name].shape
        assert (
            tensor.flatten().view(torch.uint8).tolist() == tensors[name].flatten().view(torch.uint8).tolist()
        )
    assert digest_of({}, found) == digest_of({}, tensors)


def test_tensors_that_share_memory_are_written_each(tmp_path: Path) -> None:
    whole = torch.arange(6, dtype=torch.int64).reshape(2, 3)
    tensors = {"whole": whole, "again": whole, "row": whole[1], "column": whole[:, 1]}
    write_tensors(tmp_path / "a.safetensors", tensors, {})
    found = load_file(tmp_path / "a.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }


def test_the_digest_is_that_of_names_types_shapes_and_bytes() -> None:
    values = np.arange(6, dtype="<i2").reshape(2, 3)
    expected = hashlib.sha256(b'{"a":1}["x","torch.int16",[2,3]]' + values.tobytes()).hexdigest()
    assert digest_of({"a": 1}, {"x": torch.from_numpy(values)}) == expected
    assert digest_of({"a": 1}, {"x": torch.from_numpy(values.T.copy()).T}) == expected


@pytest.fixture(params=[torch.float16, torch.bfloat16, torch.float64], ids=str)
def default_dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


def test_the_default_dtype_decides_nothing_of_what_is_loaded(
    tmp_path: Path, default_dtype: torch.dtype
) -> None:
    torch.set_default_dtype(torch.float32)
    quantizer = codeword.from_spec("rvq2x8", features=4, dim=1)
    model = ImageTokenizer(quantizer, width=4, stride=2, blocks=1)
    model(torch.sin(torch.arange(768, dtype=torch.float32)).reshape(1, 3, 16, 16))
    name = checkpoints.save(model, tmp_path)
    torch.set_default_dtype(default_dtype)
    loaded = checkpoints.load(tmp_path)
    assert checkpoints.digest(loaded) == name
    assert {key: value.dtype for key, value in loaded.state_dict().items()} == {
        key: value.dtype for key, value in model.state_dict().items()
    }
    assert checkpoints.save(loaded, tmp_path) == name
    assert json.loads((tmp_path / "config.json").read_text())["version"] == 1
