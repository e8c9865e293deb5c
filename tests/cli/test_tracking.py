"""--tracker and --save-minutes: the event file is read back with TensorBoard's own reader."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

import pytest
import torch

from codeword.cli import main

from .conftest import TINY


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def metrics(folder: Path, key: str) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line[key]) for line in lines if key in line]


def test_tensorboard_has_the_figures(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    run = tmp_path / "run"
    words = ["train", str(images), "--out", str(run), "--tracker", "tensorboard"]
    assert main([*words, *TINY]) == 0
    (file,) = (run / "tensorboard").glob("events.*")
    events = EventAccumulator(str(file)).Reload()
    assert {"loss", "psnr", "codes_used", "held_out_psnr", "ms_per_step"} <= set(events.Tags()["scalars"])
    for key, tag in (("loss", "loss"), ("psnr", "psnr"), ("used", "codes_used")):
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        steps, values = zip(*metrics(run, key), strict=True)
        assert [step for step, _ in found] == list(steps)
        assert [value for _, value in found] == pytest.approx(values, rel=1e-6)
    assert all(event.value > 0 for event in events.Scalars("ms_per_step"))
    assert list((run / "tensorboard").rglob("hparams.yml"))


class Recorder:
    """As much of wandb as accelerate calls."""

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.config = types.SimpleNamespace(update=lambda values, **_: self.settings.update(values))
        self.finished = False

    def init(self, **settings: object) -> Recorder:
        self.settings.update(settings)
        return self

    def log(self, values: dict[str, float], step: int, **_: object) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


def test_weights_and_biases_gets_the_figures(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate")
    recorder = Recorder()
    module = types.ModuleType("wandb")
    module.init = recorder.init  # type: ignore[attr-defined]
    module.config = recorder.config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    run = tmp_path / "run"
    assert main(["train", str(images), "--out", str(run), "--tracker", "wandb", *TINY]) == 0
    assert recorder.settings["name"] == "run"
    assert recorder.settings["quantizer"] == "vq16"
    assert [(step, values["loss"]) for step, values in recorder.logged] == metrics(run, "loss")
    assert recorder.finished


def test_a_missing_tracker_is_named_before_anything_is_written(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, remedy in (("wandb", "pip install wandb"), ("tensorboard", 'pip install "codeword[train]"')):
        monkeypatch.setitem(sys.modules, name, None)
        run = tmp_path / name
        assert main(["train", str(images), "--out", str(run), "--tracker", name, *TINY]) == 2
        assert (
            f"expected the package {name}, but got none installed; run: {remedy}" in capsys.readouterr().err
        )
        assert not run.exists()


def test_checkpoints_are_written_every_so_many_minutes(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []

    def count(source: object, target: str | os.PathLike[str]) -> None:
        written.append(Path(target).name)
        replace(source, target)  # type: ignore[arg-type]

    replace = os.replace
    monkeypatch.setattr(os, "replace", count)
    for minutes, saves in (("100", 2), ("1e-9", 13)):  # the first and the last; after each of 12 steps
        written.clear()
        out = str(tmp_path / minutes)
        assert main(["train", str(images), "--out", out, "--save-minutes", minutes, *TINY]) == 0
        assert written.count("model.safetensors") == saves
    capsys.readouterr()
    words = ["train", str(images), "--out", str(tmp_path / "new"), "--save-minutes", "0"]
    assert main([*words, *TINY]) == 2
    assert "expected save-minutes above 0" in capsys.readouterr().err
