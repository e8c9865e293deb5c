"""The training loop: it learns, it resumes bit for bit, it stops well."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from codeword import checkpoints
from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import Source, build
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Progress, Trainer

Named = list[tuple[str, np.ndarray]]


def start(folder: Path, config: TrainConfig, pictures: Named) -> Trainer:
    run = Run(folder)
    with run.claimed():
        run.create("somewhere", config)
    return Trainer(run, config, Images(), Source.of(pictures[:2], pictures[2:]))


def stop_after(steps: int, trainer: Trainer) -> None:
    trainer.fit(stop=lambda: trainer.step >= steps)


def state(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoints.load(folder).state_dict()


@pytest.mark.parametrize("average", [None, 0.9], ids=["last weights", "mean weights"])
@pytest.mark.parametrize("quantizer", ["vq16", "vq16,update=gradient,penalties=(codebook,commitment)"])
def test_resuming_gives_the_same_bits(
    tmp_path: Path, config: TrainConfig, pictures: Named, average: float | None, quantizer: str
) -> None:
    config = TrainConfig(**{**vars(config), "average": average, "quantizer": quantizer})
    start(tmp_path / "straight", config, pictures).fit()
    for steps in (7, 13):  # stopped twice, once in the middle of a window of the metrics
        if steps == 7:
            stop_after(steps, start(tmp_path / "stopped", config, pictures))
        else:
            stop_after(steps, resumed(tmp_path / "stopped", pictures))
    resumed(tmp_path / "stopped", pictures).fit()
    one, other = state(tmp_path / "straight"), state(tmp_path / "stopped")
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("metrics.jsonl", "config.json", "model.safetensors", "train.json"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def resumed(folder: Path, pictures: Named) -> Trainer:
    run = Run(folder)
    return Trainer(run, run.settings()[1], Images(), Source.of(pictures[:2], pictures[2:]), resume=True)


def test_a_long_window_of_metrics_survives_a_stop(
    tmp_path: Path, config: TrainConfig, pictures: Named
) -> None:
    """400 steps are logged every 4: the sums of a window that was cut are carried over."""
    long = TrainConfig(**{**vars(config), "steps": 400})
    stop_after(12, start(tmp_path / "straight", long, pictures))
    stop_after(6, start(tmp_path / "stopped", long, pictures))
    stop_after(12, resumed(tmp_path / "stopped", pictures))
    lines = (tmp_path / "straight" / "metrics.jsonl").read_text()
    assert lines == (tmp_path / "stopped" / "metrics.jsonl").read_text()
    assert [json.loads(line)["step"] for line in lines.splitlines()] == [4, 8, 12]


def test_the_seed_decides(tmp_path: Path, config: TrainConfig, pictures: Named) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    start(tmp_path / "a", config, pictures).fit()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    start(tmp_path / "b", config, pictures).fit()
    start(tmp_path / "c", TrainConfig(**{**vars(config), "seed": 1}), pictures).fit()
    names = [checkpoints.digest(checkpoints.load(tmp_path / run)) for run in "abc"]
    assert names[0] == names[1] != names[2]


def test_it_learns(folder: Path, config: TrainConfig, pictures: Named) -> None:
    lines: list[Progress] = []
    trainer = start(folder, TrainConfig(**{**vars(config), "steps": 150, "learning_rate": 5e-3}), pictures)
    trainer.fit(lines.append)
    first, last = lines[0], lines[-1]
    assert last.step == last.steps == 150
    assert last.quality > first.quality + 3
    assert last.held_out is not None
    assert last.held_out > 12
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["psnr"] for line in metrics if "psnr" in line] == [line.quality for line in lines]


def test_minutes_end_a_run_and_bring_the_rate_down(
    folder: Path, config: TrainConfig, pictures: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 6))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    trainer = start(folder, TrainConfig(**{**vars(config), "steps": 10_000, "minutes": 2.0}), pictures)
    trainer.fit()
    assert trainer.finished
    assert trainer.step < 25
    assert trainer.optimizer.param_groups[0]["lr"] < config.learning_rate / 10


def test_a_full_disk_leaves_the_last_checkpoint(
    folder: Path, config: TrainConfig, pictures: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = start(folder, config, pictures)
    stop_after(5, trainer)
    name = checkpoints.digest(checkpoints.load(folder))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CodewordError, match="No space left on device"):
            trainer.fit()
    assert checkpoints.digest(checkpoints.load(folder)) == name
    assert not list(folder.glob(".*"))
    again = resumed(folder, pictures)
    assert again.step == 5
    again.fit()
    start(folder.with_name("straight"), config, pictures).fit()
    straight = state(folder.with_name("straight"))
    assert all(torch.equal(value, straight[name]) for name, value in state(folder).items())


def test_a_loss_that_is_no_number_stops_with_a_whole_checkpoint(
    folder: Path, config: TrainConfig, pictures: Named
) -> None:
    trainer = start(folder, config, pictures)
    stop_after(5, trainer)
    with torch.no_grad():
        trainer.tokenizer.decoder[0].bias[0] = torch.nan
    with pytest.raises(CodewordError, match="expected a finite loss, but got nan at step 5; .*learning rate"):
        trainer.fit()
    assert all(value.isfinite().all() for value in state(folder).values() if value.is_floating_point())


def test_a_run_is_not_resumed_on_other_pictures(folder: Path, config: TrainConfig, pictures: Named) -> None:
    stop_after(5, start(folder, config, pictures))
    with pytest.raises(CodewordError, match="their names or sizes differ"):
        resumed(folder, [pictures[1], pictures[0], pictures[2]])


def test_a_folder_is_one_runs(folder: Path, config: TrainConfig, pictures: Named) -> None:
    run = Run(folder)
    with run.claimed():
        with pytest.raises(CodewordError, match="another codeword is at work"), Run(folder).claimed():
            pass
        run.create("somewhere", config)
    with (
        Run(folder).claimed(),
        pytest.raises(CodewordError, match=r"which has train\.json; pass another --out"),
    ):
        run.create("somewhere", config)
    assert run.settings() == ("somewhere", config)


def test_a_tokenizer_is_not_trained_over(folder: Path, config: TrainConfig) -> None:
    checkpoints.save(build(config, Images()), folder)
    with pytest.raises(CodewordError, match=r"which has config\.json"):
        Run(folder).create("somewhere", config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 18}, "divisible by the stride 8, but got 18; use 16 or 24"),
        ({"size": 2}, "divisible by the stride 8, but got 2; use 8"),
        ({"stride": 3}, "power of two"),
        ({"stride": 0}, "power of two"),
        ({"steps": 0}, "steps of at least 1"),
        ({"batch": -1}, "batch of at least 1"),
        ({"features": 0}, "features of at least 1"),
        ({"blocks": -1}, "blocks"),
        ({"seed": -1}, "seed"),
        ({"threads": -1}, "threads of at least 0"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"learning_rate": float("nan")}, "above 0"),
        ({"minutes": 0.0}, "above 0"),
        ({"average": 1.0}, "an average of 0 to below 1"),
        ({"quantizer": "vq0"}, "at least 1"),
        ({"quantizer": "nothing12"}, "nothing"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CodewordError, match=message):
        build(TrainConfig(**settings), Images())  # type: ignore[arg-type]


def test_settings_of_another_version(folder: Path, config: TrainConfig) -> None:
    assert TrainConfig.from_values(config.to_values()) == config
    with pytest.raises(CodewordError, match="upgrade codeword"):
        TrainConfig.from_values({**config.to_values(), "version": 2})
    with pytest.raises(CodewordError, match="surprise"):
        TrainConfig.from_values({**config.to_values(), "surprise": 2})
    for name in config.to_values().keys() - {"version"}:
        with pytest.raises(CodewordError, match=f"but got no {name}; train into a new folder"):
            TrainConfig.from_values({key: v for key, v in config.to_values().items() if key != name})
    with pytest.raises(CodewordError, match="expected the folder of a training run"):
        Run(folder).settings()
