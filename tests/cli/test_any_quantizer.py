"""train, encode, decode and evaluate with quantizers that give a cell more than one token, or a large one."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from codeword import checkpoints
from codeword.cli import main
from codeword.tokens import read_tokens
from codeword.workbench.data import to_image, to_tensor

from .conftest import TINY

CODES = TINY.index("--codes")
WORDS = TINY[:CODES] + TINY[CODES + 2 :]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("spec", "shape", "width", "bits"),
    [
        ("rvq4x256", (4,), 8, 32.0),
        ("gvq2x(rvq2x300)", (2, 2), 16, 4 * math.log2(300)),
        ("fsq8-5-5-5", (), 16, math.log2(1000)),
        ("lfq40", (), 64, 40.0),
        ("lfq63", (), 64, 63.0),
        ("multiscale2x16,sizes=((1,1),(2,2))", (5,), 8, 20.0),
    ],
)
def test_round_trip(
    tmp_path: Path,
    images: Path,
    capsys: pytest.CaptureFixture[str],
    spec: str,
    shape: tuple[int, ...],
    width: int,
    bits: float,
) -> None:
    run, tokens, out = tmp_path / "run", tmp_path / "tokens.parquet", tmp_path / "out"
    assert main(["train", str(images), "--out", str(run), *WORDS, "--quantizer", spec]) == 0
    assert main(["encode", str(run), str(images), "--out", str(tokens)]) == 0
    assert main(["decode", str(run), str(tokens), "--out", str(out)]) == 0
    model = checkpoints.load(run)
    file = read_tokens(tokens)
    assert file.header.codebook_sizes == model.codebook_sizes
    assert file.header.trailing_shape == shape
    lists = parquet.read_schema(tokens).field("tokens").type
    assert str((lists.value_type if shape else lists).value_type) == f"uint{width}"
    for name, grid in file:
        with Image.open(images / name) as image, torch.no_grad():
            forward = model(to_tensor(np.array(image))[None])
        with Image.open(out / name) as image:
            decoded = np.array(image)
        assert np.array_equal(grid, forward.quantized.indices[0].numpy())
        with Image.open(images / name) as image:
            columns, rows = image.size
        assert decoded.shape == (rows, columns, 3)
        assert np.array_equal(decoded, to_image(forward.reconstruction[0])[:rows, :columns])
    capsys.readouterr()
    assert main(["evaluate", str(run), str(images)]) == 0
    said = capsys.readouterr().out
    row = next(line.split() for line in said.splitlines() if line.startswith("deep/b.png"))
    positions = 6 * 8 if spec.startswith("multiscale") else 11 * 16
    assert row[2] == f"{bits * positions / (41 * 63):.3f}"
    assert re.search(r"pictures of \S+, .*codes", said)
