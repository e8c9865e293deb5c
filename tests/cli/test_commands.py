"""train, encode, decode, evaluate, demo: what they write is read back by other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from codeword import checkpoints
from codeword.cli import main
from codeword.workbench.data import to_image, to_tensor

from .conftest import TINY


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_encode_then_decode_is_forward(
    tmp_path: Path, images: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens, out = tmp_path / "tokens.parquet", tmp_path / "out"
    assert main(["encode", str(run_folder), str(images), "--out", str(tokens)]) == 0
    said = capsys.readouterr().out
    assert "left out 2:" in said
    assert "broken.jpg: " in said
    assert "small.png: 3 x 50 pixels" in said
    assert main(["decode", str(run_folder), str(tokens), "--out", str(out)]) == 0

    rows = parquet.read_table(tokens).to_pylist()
    assert [next(iter(row.values())) for row in rows] == ["a.png", "deep/b.png", "deep/c.png"]
    model = checkpoints.load(run_folder)
    for row in rows:
        name, height, width, *true_size, indices = row.values()
        with Image.open(images / name) as image:
            original = np.array(image)
        with Image.open(out / name) as image:
            decoded = np.array(image)
        with torch.no_grad():
            forward = model(to_tensor(original)[None])
        assert (height, width) == (11, 16)
        assert tuple(true_size) == original.shape[:2]
        assert np.array_equal(np.array(indices).reshape(height, width), forward.quantized.indices[0].numpy())
        expected = to_image(forward.reconstruction[0])
        assert np.array_equal(decoded, expected[: original.shape[0], : original.shape[1]])
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.png")) == [row["name"] for row in rows]


def test_a_run_folder_has_everything(run_folder: Path) -> None:
    names = {file.name for file in run_folder.iterdir()}
    (training,) = [name for name in names if name.startswith("training-")]
    assert names - {training} == {
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "picture.png",
        "train.json",
    }
    with Image.open(run_folder / "picture.png") as picture:
        assert min(picture.size) > 200
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 12
    assert any("held_out_psnr" in line for line in lines)


def test_evaluate(images: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run_folder), str(images)]) == 0
    said = capsys.readouterr().out
    row = next(line.split() for line in said.splitlines() if line.startswith("deep/b.png"))
    assert row[2] == f"{4 * 11 * 16 / (41 * 63):.3f}"
    assert "no JPEG is that small" in said
    assert "small.png: 3 x 50 pixels" in said
    assert main(["evaluate", str(run_folder), "photos"]) == 0
    assert "chelsea.png" in capsys.readouterr().out


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--steps", "3"]) == 0
    said = capsys.readouterr().out
    for word in ("step 3/3", "PSNR", "codes used", "bits/pixel", "JPEG", "coffee.png", "perplexity"):
        assert word in said
    assert "codeword report codeword-demo\n" in said
    assert "codeword encode codeword-demo photos --out tokens.parquet" in said
    with Image.open(tmp_path / "codeword-demo" / "picture.png") as picture:
        picture.load()
    first = checkpoints.digest(checkpoints.load(tmp_path / "codeword-demo"))
    assert main(["demo", "--steps", "2", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["path"], again["steps"]) == ("codeword-demo-2", 2)
    assert again["evaluation"]["items"] == 5
    assert checkpoints.digest(checkpoints.load(tmp_path / "codeword-demo")) == first


def test_resume_of_a_finished_run_measures_again(
    images: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run_folder / "model.safetensors").read_bytes()
    assert main(["train", str(images), "--out", str(run_folder), "--resume"]) == 0
    assert "from step 12 of 12" in capsys.readouterr().out
    assert (run_folder / "model.safetensors").read_bytes() == before


def test_the_same_words_are_accepted_when_resuming(images: Path, run_folder: Path) -> None:
    assert main(["train", str(images), "--out", str(run_folder), "--resume", *TINY]) == 0
