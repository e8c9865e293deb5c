"""Exported files: their names, whole or not at all."""

from __future__ import annotations

import json

import onnx
import pytest
import torch

import codeword
from codeword import CodewordError, export
from codeword.export import files


def test_two_graphs(tmp_path):
    made = export.save(codeword.VectorQuantizer(4, 8), tmp_path / "deep" / "vq.onnx")
    assert made == [tmp_path / "deep" / f"vq-{part}.onnx" for part in ("encode", "decode")]
    for file in made:
        onnx.checker.check_model(onnx.load(file), full_check=True)


def test_two_programs(tmp_path):
    vq = codeword.VectorQuantizer(4, 8)
    encode, decode = export.save(vq, tmp_path / "vq.pt2")
    said = {"codeword.json": ""}
    x = torch.randn(20, 4)
    indices = torch.export.load(encode, extra_files=said).module()(x)
    assert torch.equal(indices, vq.encode(x))
    assert torch.equal(torch.export.load(decode).module()(indices), vq.decode(indices))
    assert json.loads(said["codeword.json"])["digest"] == codeword.checkpoints.digest(vq)


def test_without_a_decode_there_is_one(tmp_path):
    quantizer = codeword.RandomProjection(4, 8, code_features=3)
    assert export.save(quantizer, tmp_path / "rpq.pt2") == [tmp_path / "rpq-encode.pt2"]


def test_neither_if_one_fails(tmp_path, monkeypatch):
    whole = files.program

    def program(model, part, example):
        if part == "decode":
            raise CodewordError("no")
        return whole(model, part, example)

    monkeypatch.setattr(files, "program", program)
    with pytest.raises(CodewordError, match="no"):
        export.save(codeword.VectorQuantizer(4, 8), tmp_path / "vq.pt2")
    assert list(tmp_path.iterdir()) == []


def test_the_ending_is_the_format(tmp_path):
    with pytest.raises(CodewordError, match=r"ends in .onnx or .pt2, but got 'vq.pt'"):
        export.save(codeword.VectorQuantizer(4, 8), tmp_path / "vq.pt")
    with pytest.raises(CodewordError, match="a quantizer or a tokenizer"):
        export.save(torch.nn.Linear(2, 2), tmp_path / "vq.pt2")
