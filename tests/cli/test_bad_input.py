"""Input that cannot be used: one clear line, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import codeword
from codeword.cli import main

from .conftest import TINY


@pytest.fixture
def place(tmp_path: Path, run_folder: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `run`, `images`, `tokens.parquet` of them, `empty`, and `small` pictures only."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_folder, "run")
    shutil.copytree(images, "images")
    settings = Path("run/train.json")
    settings.write_text(settings.read_text().replace(str(images), "images"))
    Path("empty").mkdir()
    Path("small").mkdir()
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save("small/dot.png")
    codeword.save_pretrained(codeword.VectorQuantizer(4, 16), "quantizer")
    assert main(["encode", "run", "images", "--out", "tokens.parquet"]) == 0
    return tmp_path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


MAPS = "multiscale3x64,shared=true,sizes=(1,2,4)"
CASES = [
    (["encode", "nowhere", "images", "--out", "new"], ["run folder", "nowhere", "codeword train"]),
    (["encode", "images", "images", "--out", "new"], ["run folder", "no config.json"]),
    (["encode", "run", "empty", "--out", "new"], ["pictures in empty", "none"]),
    (["encode", "run", "nothing", "--out", "new"], ["nothing there"]),
    (
        ["encode", "run", "small", "--out", "new"],
        ["pictures that can be used at small", "dot.png", "2 x 2 pixels are less than one code of 4 x 4"],
    ),
    (["encode", "run", "images", "--out", "new", "--device", "gpu"], ["auto, cpu or cuda", "'gpu'"]),
    (
        ["encode", "run", "images", "--out", "images"],
        ["new or empty, or of this encoding", "images", ".parquet"],
    ),
    (
        ["encode", "run", "images", "--out", "tokens.parquet", "--shard-rows", "2"],
        ["a folder", "--shard-rows"],
    ),
    (["encode", "run", "images", "--out", "new", "--shard-rows", "0"], ["shard-rows of at least 1"]),
    (["encode", "run", "images", "--out", "new.parquet", "--engine", "ray"], ["a folder", "--engine ray"]),
    (["encode", "run", "images", "--out", "new", "--workers", "2"], ["--engine ray for --workers"]),
    (
        ["encode", "run", "images", "--out", "new", "--engine", "ray", "--workers", "0"],
        ["workers of at least 1"],
    ),
    (["encode", "quantizer", "images", "--out", "new"], ["expected a tokenizer, but got", "VectorQuantizer"]),
    (["decode", "quantizer", "tokens.parquet", "--out", "new"], ["expected a tokenizer, but got"]),
    (["evaluate", "quantizer", "images"], ["expected a tokenizer, but got"]),
    (["encode", "run", "empty", "--out", "new.parquet"], ["pictures in empty", "none"]),
    (
        ["encode", "run", "small", "--out", "new.parquet"],
        ["pictures that can be used at small", "dot.png", "2 x 2 pixels are less than one code of 4 x 4"],
    ),
    (["decode", "run", "empty", "--out", "new"], ["folder of them", "without any"]),
    (["encode", "run", "images", "--out", "images/a.png/new"], ["a.png"]),
    (["decode", "run", "images/a.png", "--out", "new"], ["Parquet", "a.png"]),
    (["decode", "run", "cut.parquet", "--out", "new"], ["cut.parquet"]),
    (["decode", "run", "flipped.parquet", "--out", "new"], ["flipped.parquet"]),
    (["decode", "run", "nothing", "--out", "new"], ["nothing there"]),
    (["decode", "other", "tokens.parquet", "--out", "new"], ["tokenizer in other", "tokens.parquet, which"]),
    (["decode", "run", "tokens.parquet", "--out", "images"], ["new or empty", "images"]),
    (["evaluate", "run", "empty"], ["pictures in empty"]),
    (["evaluate", "empty", "images"], ["run folder"]),
    (["train", "empty", "--out", "new"], ["pictures, sounds or vectors at empty", "none", ".wav"]),
    (["train", "nothing", "--out", "new"], ["pictures, sounds or vectors at nothing", "nothing there"]),
    (["train", "small", "--out", "new"], ["2 x 2 pixels are less than one code of 8 x 8"]),
    (["train", "images", "--out", "run"], ["without a run", "run", "--resume"]),
    (["train", "images", "--out", "new", "--resume"], ["training run", "new", "--resume"]),
    (["train", "images", "--out", "run", "--resume", "--steps", "99"], ["steps 12", "99"]),
    (["train", "images", "--out", "run", "--resume", "--steps", "5000"], ["steps 12", "5000"]),
    (["train", "empty", "--out", "run", "--resume"], ["images", "empty"]),
    (["train", "images", "--out", "new", "--size", "17"], ["stride 8", "17", "16 or 24"]),
    (["train", "images", "--out", "new", "--size", "-4"], ["size of at least 1", "-4"]),
    (["train", "images", "--out", "new", "--batch", "0"], ["batch of at least 1"]),
    (["train", "images", "--out", "new", "--codes", "0"], ["at least 1"]),
    (["train", "images", "--out", "new", "--quantizer", "vqx"], ["vq"]),
    (["train", "images", "--out", "new", "--quantizer", MAPS], ["single positions", "multiscale3x64"]),
    (
        ["train", "images", "--out", "new", "--quantizer", "multiscale2x9,sizes=((1,1),(5,5))"],
        ["a size divisible by", "pixels of a tile"],
    ),
    (["train", "images", "--out", "new", "--quantizer", f"rvq2x({MAPS})"], ["one by one", "multiscale3x64"]),
    (["train", "images", "--out", "new", "--codes", "8", "--quantizer", "vq16"], ["--codes or --quantizer"]),
    (["train", "images", "--out", "new", "--device", "cuda:77"], ["cuda:77", "--device cpu"]),
    (["demo", "--out", "run"], ["without a run"]),
    (["demo", "--steps", "0"], ["steps of at least 1"]),
]


@pytest.mark.parametrize(("words", "named"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_one_clear_line(
    place: Path, words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path("tokens.parquet").read_bytes()
    Path("cut.parquet").write_bytes(whole[: len(whole) // 2])
    Path("flipped.parquet").write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    if words[1] == "other":
        assert main(["train", "images", "--out", "other", *TINY, "--seed", "1"]) == 0
    before = everything(place)
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("codeword: ")
    assert all(line.startswith("  ") for line in said.err.splitlines()[1:])  # a caret under a spec
    for name in named:
        assert name in said.err
    assert everything(place) == before
    assert not list(place.rglob("*.part"))
    assert not Path("new").exists() or not any(Path("new").iterdir())


@pytest.mark.parametrize(
    "words", [["frob"], ["train"], ["train", "photos", "--out", "x", "--steps", "many"], ["encode", "run"]]
)
def test_words_that_are_no_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["encode", "run", "images", "--out", "new"],
        ["encode", "run", "images", "--out", "new.parquet"],
        ["decode", "run", "tokens.parquet", "--out", "new"],
        ["train", "images", "--out", "new", *TINY],
    ],
    ids=lambda words: words[0],
)
def test_a_full_disk(
    place: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(place)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert said.count("\n") == 1
    assert everything(place) == before
