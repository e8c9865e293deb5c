"""Weights of losses that move: what a step sees, what files hold, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import codeword
from codeword.cli import main
from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import Source
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.loss_schedule import LossSchedule
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Trainer


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("lfq6", "lfq.entropy=0.5:0.1@40, lfq.commitment=0.25:0.25@1"),
        ("rvq2x16", "vq.commitment=1:0@40"),
        ("gvq2x(rvq2x16)", "vq.commitment=1:0@40"),
        ("bsq6", "bsq.commitment=0:1e-1@40"),
    ],
)
def test_the_loss_is_the_weighted_sum_of_its_parts(spec: str, text: str) -> None:
    """loss = sum of w(step) times the named losses; of a stack each is the mean over its stages or their sum."""
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=8).requires_grad_(False)
    rows = torch.randn(64, 8)
    quantizer(rows)
    quantizer.eval()
    schedule, fixed = LossSchedule(text, quantizer), quantizer(rows)
    for step, part in ((0, 0.0), (10, 0.25), (40, 1.0), (400, 1.0)):
        schedule.set(step)
        out = quantizer(rows)
        if spec == "lfq6":
            expected = (0.5 - 0.4 * part) * out.losses["entropy"] + 0.25 * out.losses["commitment"]
        elif spec == "bsq6":
            expected = (
                0.1 * part * out.losses.get("commitment", 0.0) + quantizer.entropy * out.losses["entropy"]
            )
        else:  # the weight was 0.25
            expected = fixed.loss * (1 - part) / 0.25
        assert out.loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-7)
        assert torch.equal(out.indices, fixed.indices)


def test_files_hold_the_weights_of_the_spec() -> None:
    quantizer = codeword.from_spec("lfq6", features=6)
    spec = quantizer.spec
    schedule = LossSchedule("lfq.entropy=0.5:0.0@10", quantizer)
    schedule.set(5)
    assert quantizer.entropy == 0.25
    with schedule.paused():
        assert quantizer.spec == spec
    assert quantizer.entropy == 0.25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lfq.entropy", "a schedule such as lfq.entropy=0.1:0.0@2000, but got 'lfq.entropy'"),
        ("vq.commitment=-1:0@5", "a schedule such as"),
        ("vq.entropy=1:0@5", "a loss to schedule among vq.commitment, but got vq.entropy"),
        ("lfq.entropy=1:0@5", "among vq.commitment, but got lfq.entropy"),
    ],
)
def test_what_cannot_be_is_named(text: str, words: str) -> None:
    with pytest.raises(CodewordError, match=words):
        LossSchedule(text, codeword.from_spec("rvq2x16", features=4))


def test_a_resumed_run_ends_with_the_same_bits(
    folder: Path, config: TrainConfig, pictures: list[tuple[str, np.ndarray]]
) -> None:
    config = dataclasses.replace(config, quantizer="lfq4", steps=8, schedule="lfq.entropy=0.5:0.0@6")
    source, weights = Source.of(pictures[1:], pictures[:1]), []
    for name, stops in (("once", (99,)), ("twice", (4, 99))):
        run = Run(folder / name)
        run.create("pictures", config)
        for number, stop in enumerate(stops):
            trainer = Trainer(run, config, Images(), source, resume=number > 0)
            trainer.fit(stop=lambda: trainer.step >= stop)  # noqa: B023
        weights.append(trainer.tokenizer.state_dict())
        assert "entropy=0.1" in json.loads((run.folder / "config.json").read_text())["quantizer"]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_the_command_names_it_before_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "photos", "--out", str(tmp_path / "new"), "--schedule", "lfq.entropy=1:0@5"]
    assert main(words) == 2
    assert "a loss to schedule among vq.commitment" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
