"""codeword train --from RUN: the weights of another run, on other data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codeword import checkpoints
from codeword.cli import main
from codeword.workbench.training.run import Run

from .conftest import TINY


@pytest.fixture
def others(tmp_path: Path) -> Path:
    folder = tmp_path / "others"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.nn.Module.state_dict(checkpoints.load(folder))


def test_weights_and_settings_are_those_of_the_other_run(
    run_folder: Path, others: Path, tmp_path: Path
) -> None:
    """With a rate so low that nothing but the codes moves, the networks are the same in the end."""
    words = ["--from", str(run_folder), "--steps", "2", "--learning-rate", "1e-30", "--weight-decay", "0"]
    assert main(["train", str(others), "--out", str(tmp_path / "run"), *words]) == 0
    before, after = state_of(run_folder), state_of(tmp_path / "run")
    same = [name for name in before if name.startswith(("encoder.", "decoder."))]
    assert same
    assert all(torch.equal(before[name], after[name]) for name in same)
    assert not torch.equal(before["quantizer.codebook.codes"], after["quantizer.codebook.codes"])
    _, kept = Run(run_folder).settings()
    data, config = Run(tmp_path / "run").settings()
    assert data == str(others)
    assert (config.width, config.stride, config.quantizer) == (kept.width, kept.stride, kept.quantizer)
    assert (config.steps, config.learning_rate) == (2, 1e-30)
    assert Run(tmp_path / "run").start() == run_folder
    assert Run(run_folder).start() is None


def test_it_starts_where_the_other_ended(run_folder: Path, images: Path, tmp_path: Path) -> None:
    words = ["--out", str(tmp_path / "run"), "--from", str(run_folder), "--steps", "1"]
    assert main(["train", str(images), *words]) == 0
    lines, ended = Run(tmp_path / "run").metrics(), Run(run_folder).metrics()
    before = [line["held_out_psnr"] for line in ended if "held_out_psnr" in line][-1]
    assert next(line["held_out_psnr"] for line in lines) == pytest.approx(before, abs=1.0)


def test_a_run_that_was_killed_before_it_saved_starts_from_there_again(
    run_folder: Path, images: Path, tmp_path: Path
) -> None:
    words = ["train", str(images), "--from", str(run_folder), "--steps", "2", "--threads", "1"]
    assert main([*words, "--out", str(tmp_path / "once")]) == 0
    settings = json.loads((tmp_path / "once" / "train.json").read_text())
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "train.json").write_text(json.dumps(settings))
    assert main(["train", str(images), "--out", str(tmp_path / "again"), "--resume"]) == 0
    once, again = state_of(tmp_path / "once"), state_of(tmp_path / "again")
    assert all(torch.equal(once[name], again[name]) for name in once)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--width", "16"], "expected width 8, as in "),
        (["--quantizer", "rvq2x16"], "expected quantizer vq16"),
        (["--recipe", "image_small"], "expected --from or --recipe, but got both"),
    ],
)
def test_what_does_not_fit_is_one_line(
    run_folder: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    run = ["--out", str(tmp_path / "run"), "--from", str(run_folder)]
    capsys.readouterr()
    assert main(["train", str(images), *run, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["train", str(images), "--out", str(tmp_path / "run"), "--from", str(tmp_path), *TINY]) == 2
    assert "the folder of a training run" in capsys.readouterr().err


def test_a_run_on_data_of_another_kind_is_named(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "one.wav", np.zeros(8000) + 0.1, 8000)
    words = ["--out", str(tmp_path / "run"), "--from", str(run_folder)]
    assert main(["train", str(tmp_path / "one.wav"), *words]) == 2
    said = capsys.readouterr().err
    assert "expected a tokenizer of audio to start from, but got one of image in" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
