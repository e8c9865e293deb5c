"""`codeword export`, on a tiny real run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from codeword.checkpoints import load
from codeword.cli import main
from codeword.torch_versions import EXPORTS, VERSION

pytestmark = pytest.mark.skipif(VERSION < EXPORTS, reason="an older torch exports nothing")


def test_onnx_of_a_run(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["export", str(run_folder), "--out", str(tmp_path / "model.onnx"), "--json"]) == 0
    encode, decode = (tmp_path / f"model-{part}.onnx" for part in ("encode", "decode"))
    written = [{"path": str(file), "bytes": file.stat().st_size} for file in (encode, decode)]
    assert json.loads(capsys.readouterr().out) == {"files": written}
    tokenizer = load(run_folder)
    images = torch.rand(2, 3, 29, 33) * 2 - 1
    (tokens,) = onnxruntime.InferenceSession(encode).run(["tokens"], {"pixels": images.numpy()})
    assert np.array_equal(tokens, tokenizer.encode(images).numpy())
    (pixels,) = onnxruntime.InferenceSession(decode).run(["pixels"], {"tokens": tokens})
    with torch.no_grad():
        expected = tokenizer.decode(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(pixels, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("out", "words", "named"),
    [
        ("model.onnx", ["--opset", "11"], "opset from 18 to 23"),
        ("model.pt", [], "ends in .onnx or .pt2"),
    ],
)
def test_input_that_cannot_be_used(run_folder, tmp_path, capsys, out, words, named):
    assert main(["export", str(run_folder), "--out", str(tmp_path / out), *words]) == 2
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
