"""compare: same start, same batches, a table, a picture, and going on after a stop."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats

from codeword import checkpoints
from codeword.cli import main
from codeword.workbench.comparing.compare import Task, compare_one, open_task
from codeword.workbench.comparing.comparison import folder_name, frontier
from codeword.workbench.comparing.step_cost import peak_bytes
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import to_tensor
from codeword.workbench.modalities import build
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.run import Run

from .conftest import WATCHDOG, environment

SMALL = {"steps": 12, "batch": 4, "size": 16, "width": 8, "features": 4, "stride": 4, "threads": 1}
WORDS = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
SPECS = ["vq16", "fsq3-3", "rvq2x8", "gvq3x8"]  # the last one: 3 groups of 4 features


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    out = tmp_path_factory.mktemp("comparisons") / "comparison"
    assert main(["compare", str(images), "--quantizers", *SPECS, "--out", str(out), *WORDS]) == 0
    return out


def results(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "results.json").read_text())
    return values


def test_figures_are_those_of_the_runs(compared: Path, images: Path) -> None:
    """Measured again from the files, in float64."""
    table = pd.json_normalize(results(compared)["results"]).set_index("quantizer")
    assert list(table.index) == SPECS
    task = open_task(str(images), TrainConfig(**SMALL), "cpu")  # type: ignore[arg-type]
    ((_, picture),) = task.source.held_out
    height, width = picture.shape[:2]
    positions = -(-height // 4) * -(-width // 4)
    for spec, sizes in (("vq16", [16]), ("fsq3-3", [9]), ("rvq2x8", [8, 8])):
        model = checkpoints.load(compared / table.folder[spec])
        with torch.no_grad():
            out = model(to_tensor(picture)[None]).reconstruction[0].double().numpy()
        pixels = np.clip((out + 1) * 127.5, 0, 255).round().transpose(1, 2, 0)[:height, :width]
        psnr = 10 * math.log10(255**2 / ((pixels - picture) ** 2).mean())
        assert table["metrics.psnr"][spec] == pytest.approx(psnr, abs=1e-3)
        bits = sum(map(math.log2, sizes))
        assert table["metrics.bits_per_pixel"][spec] == pytest.approx(positions * bits / (height * width))
        assert table.bits_per_position[spec] == pytest.approx(bits)
        assert table.codebook_sizes[spec] == sizes
        assert table.milliseconds_per_step[spec] > 0
        assert table.peak_mib_of_step[spec] > 4 * 4 * 3 * 16 * 16 / 2**20  # the batch's gradient alone


def test_use_of_codes_is_that_of_training_batches(compared: Path, images: Path) -> None:
    table = pd.json_normalize(results(compared)["results"]).set_index("quantizer")
    task = open_task(str(images), TrainConfig(**SMALL), "cpu")  # type: ignore[arg-type]
    batches = task.modality.batches(task.source.training, task.config)
    for spec in ("vq16", "rvq2x8"):
        model = checkpoints.load(compared / table.folder[spec])
        tokens = [model.encode(batches.batch(number)).numpy() for number in range(256)]
        columns = np.concatenate([part.reshape(-1, len(model.codebook_sizes)) for part in tokens]).T
        counts = [np.unique(column, return_counts=True)[1] for column in columns]
        entropies = [stats.entropy(count, base=2) for count in counts]
        assert table.positions_counted[spec] == len(columns[0])
        assert table.entropy_bits_per_position[spec] == pytest.approx(sum(entropies))
        assert table.perplexity[spec] == pytest.approx(np.mean(2 ** np.array(entropies)))
        assert table.used[spec] == pytest.approx(sum(map(len, counts)) / sum(model.codebook_sizes))
        top = [np.sort(count)[::-1][: size // 2].sum() / count.sum() for count, size in zip(
            counts, model.codebook_sizes, strict=True)]  # fmt: skip
        assert table.coverage[spec][25] == pytest.approx(np.mean(top))


def test_stages_end_with_the_whole(compared: Path) -> None:
    (result,) = [one for one in results(compared)["results"] if one["quantizer"] == "rvq2x8"]
    assert [stage["bits"] for stage in result["stages"]] == [3, 6]
    assert result["stages"][1]["metrics"]["psnr"] == pytest.approx(result["metrics"]["psnr"])
    assert result["stages"][0]["metrics"]["psnr"] != result["stages"][1]["metrics"]["psnr"]
    assert result["stages"][0]["metrics"]["bits_per_pixel"] == pytest.approx(
        result["metrics"]["bits_per_pixel"] / 2
    )


def test_one_failure_is_named_and_tried_again(
    compared: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in compared.glob("*/model.safetensors")}
    assert len(before) == 3
    assert main(["compare", str(images), "--quantizers", *SPECS, "--out", str(compared), *WORDS]) == 0
    said = capsys.readouterr().out
    assert said.count("was done before") == 3
    assert "4 of 4: gvq3x8\ngvq3x8 failed: expected features that 3 groups divide, but got 4" in said
    row = next(line.split() for line in said.splitlines() if line.startswith("gvq3x8  "))
    assert row[-1] == "failed"
    (failed,) = [one for one in results(compared)["results"] if one["failed"]]
    assert failed["quantizer"] == "gvq3x8"
    assert not (compared / "gvq3x8").exists()
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_the_frontier(compared: Path) -> None:
    done = [one for one in results(compared)["results"] if not one["failed"]]
    points = np.array([(one["metrics"]["bits_per_pixel"], one["metrics"]["psnr"]) for one in done])
    for one, (cost, quality) in zip(done, points, strict=True):
        beaten = (points[:, 0] <= cost) & (points[:, 1] > quality) | (points[:, 0] < cost) & (
            points[:, 1] >= quality
        )
        assert one["on_frontier"] == (not beaten.any())
    with Image.open(compared / "compare.png") as picture:
        assert min(picture.size) > 500
        assert len(picture.convert("RGB").getcolors(2**20) or ()) > 50


def test_equal_points_are_both_on_the_frontier() -> None:
    points = {"a": (1.0, 3.0), "b": (1.0, 3.0), "c": (1.0, 2.0), "d": (0.5, 1.0), "e": (2.0, 3.0)}
    assert frontier(points) == {"a", "b", "d"}


def test_a_run_is_what_train_makes(compared: Path, images: Path, tmp_path: Path) -> None:
    """Bit for bit, so that a comparison says what training gives."""
    out = tmp_path / "run"
    assert main(["train", str(images), "--out", str(out), "--quantizer", "fsq3-3", *WORDS]) == 0
    for name in ("model.safetensors", "config.json", "metrics.jsonl", "train.json"):
        assert (out / name).read_bytes() == (compared / "fsq3-3" / name).read_bytes()


def test_encoder_and_decoder_start_the_same() -> None:
    starts = []
    for spec in ("vq1024", "fsq3-3-3", "rvq3x8", "vq16,code_features=2", "lfq4"):  # of other draws each
        config = TrainConfig(**{**SMALL, "quantizer": spec})  # type: ignore[arg-type]
        state = build(config, Images()).state_dict()
        starts.append({name: value for name, value in state.items() if not name.startswith("quantizer.")})
    for other in starts[1:]:
        assert other.keys() == starts[0].keys()
        assert all(torch.equal(value, starts[0][name]) for name, value in other.items())


def tasked(images: Path, **settings: Any) -> Task:
    return open_task(str(images), TrainConfig(**{**SMALL, **settings}), "cpu")


def test_one_in_the_middle_goes_on(images: Path, tmp_path: Path) -> None:
    task = tasked(images)
    steps: list[int] = []

    def stop() -> bool:
        return len(steps) >= 5

    for name in ("stopped", "straight"):
        while True:
            steps.clear()
            outcome = compare_one(
                task, "vq8", tmp_path / name, lambda progress: steps.append(progress.step), stop
                if name == "stopped" and not steps and not (tmp_path / name).exists() else (lambda: False)
            )  # fmt: skip
            if outcome is not None:
                break
            assert Run(tmp_path / name).has_checkpoint
    bits = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("stopped", "straight")]
    assert bits[0] == bits[1]
    assert steps == list(range(1, 13))


@pytest.mark.slow  # tests/faults kills it at every time; test_one_in_the_middle_goes_on sees the rest
def test_killed_and_called_again(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL in the second of two: the first is not trained again, the second ends as if nothing had been."""
    words = [
        "compare",
        str(images),
        "--quantizers",
        "vq8",
        "vq8,cosine",
        "--out",
        str(tmp_path / "out"),
        *WORDS,
    ]
    words += ["--steps", "60"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "codeword", *words],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = iter(process.stdout)
    assert any(line.startswith("2 of 2") for line in lines)
    assert any(line.startswith("step ") for line in lines)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=WATCHDOG)
    assert [one["quantizer"] for one in results(tmp_path / "out")["results"]] == ["vq8"]
    first = (tmp_path / "out" / "vq8" / "model.safetensors").stat().st_mtime_ns
    assert main(words) == 0
    assert "1 of 2: vq8 was done before" in capsys.readouterr().out
    assert (tmp_path / "out" / "vq8" / "model.safetensors").stat().st_mtime_ns == first
    straight = tasked(images, steps=60)
    assert compare_one(straight, "vq8,cosine", tmp_path / "straight", lambda progress: None, lambda: False)
    files = [tmp_path / "out" / folder_name("vq8,cosine"), tmp_path / "straight"]
    assert (
        files[0].joinpath("model.safetensors").read_bytes()
        == files[1].joinpath("model.safetensors").read_bytes()
    )


def test_ctrl_c(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = tmp_path / "out" / "vq8_cosine" / "model.safetensors"

    def interrupt() -> None:
        for _ in range(3000):
            if second.exists():
                os.kill(os.getpid(), signal.SIGINT)
                break
            time.sleep(0.02)

    asking = threading.Thread(target=interrupt)
    asking.start()
    words = ["--quantizers", "vq8", "vq8,cosine", "--out", str(tmp_path / "out"), *WORDS]
    code = main(["compare", str(images), *words, "--steps", "60"])
    asking.join()
    assert code == 130
    assert "stopped; the same words again go on with" in capsys.readouterr().err
    assert [one["quantizer"] for one in results(tmp_path / "out")["results"]] == ["vq8"]
    assert checkpoints.load_training(second.parent).values["step"] < 60


def test_json_and_more_quantizers(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    words = ["compare", str(images), "--out", out, "--json", *WORDS]
    assert main([*words, "--quantizers", "vq4"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [one["quantizer"] for one in first["results"]] == ["vq4"]
    assert main(["compare", str(images), "--out", out, "--json", "--quantizers", "vq5"]) == 0  # settings kept
    second = json.loads(capsys.readouterr().out)
    assert [one["quantizer"] for one in second["results"]] == ["vq4", "vq5"]
    assert second["results"][0] == first["results"][0] | {"on_frontier": second["results"][0]["on_frontier"]}
    assert second == results(tmp_path / "out")
    assert Run(tmp_path / "out" / "vq5").settings()[1] == TrainConfig(**{**SMALL, "quantizer": "vq5"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "13"], "expected steps 12 to go on with"),
        (["--quantizer", "vq8"], "--quantizers"),
        (["--quantizers"], "expected quantizers to compare, but got none"),
        (["--fit"], "expected vectors to fit codebooks to, but got pictures"),
        (["--recipe", "none"], "was done before"),  # the settings are those that it was started with
    ],
)
def test_other_settings_are_refused(
    compared: Path, images: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (compared / "results.json").read_bytes()
    code = main(["compare", str(images), "--quantizers", "vq16", "--out", str(compared), *words])
    shown = capsys.readouterr()
    assert said in shown.out + shown.err
    assert code == (0 if "--recipe" in words else 2)
    assert json.loads((compared / "results.json").read_bytes()) == json.loads(before)


def test_other_pictures_are_refused(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the same name: what is done was learned from those that were there before."""
    shutil.copytree(images, tmp_path / "data")
    words = ["compare", str(tmp_path / "data"), "--quantizers", "vq4", "--out", str(tmp_path / "out"), *WORDS]
    assert main(words) == 0
    (tmp_path / "data" / "a.png").rename(tmp_path / "data" / "other.png")
    assert main(words) == 2
    assert "was started with, but got other data" in capsys.readouterr().err


def test_all_fail(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A learning rate that ends in NaN, a name that is no quantizer, and one of sequences."""
    maps = "multiscale2x16,sizes=(1,2)"
    words = ["--quantizers", "vq16", "nothing7", maps, "--out", str(tmp_path / "out"), *WORDS]
    words += ["--learning-rate", "1e25", "--clip", "0"]
    assert main(["compare", str(images), *words]) == 2
    shown = capsys.readouterr()
    assert re.search("vq16 failed: expected .*(finite|NaN)", shown.out)
    assert "nothing7 failed: " in shown.out
    assert f"{maps} failed: expected a quantizer of single positions" in shown.out
    assert "expected one quantizer at least that succeeds" in shown.err
    assert len(results(tmp_path / "out")["results"]) == 3


def test_a_damaged_file_is_named(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.json").write_text('{"version": 1, "resul')
    assert main(["compare", str(images), "--quantizers", "vq4", "--out", str(tmp_path), *WORDS]) == 2
    assert "expected the results of a comparison" in capsys.readouterr().err


def test_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of vectors, without a network: the errors against NumPy's on the same held-out rows."""
    from sklearn.datasets import load_digits

    vectors = load_digits().data[:601].astype(np.float32)
    np.save(tmp_path / "digits.npy", vectors)
    out = tmp_path / "out"
    words = ["compare", str(tmp_path / "digits.npy"), "--fit", "--out", str(out), "--threads", "1"]
    assert main([*words, "--quantizers", "vq16", "rvq2x16", "fsq3-3"]) == 0
    assert "fsq3-3 failed: expected vector quantizers with the Euclidean metric" in capsys.readouterr().out
    table = pd.json_normalize(results(out)["results"]).set_index("quantizer")
    task = open_task(
        str(tmp_path / "digits.npy"), TrainConfig(stride=1, size=1, threads=1), "cpu", by_fit=True
    )
    rows = np.stack([row for _, row in task.source.held_out]).astype(np.float64)
    assert len(rows) == 60
    variance = np.var(vectors.astype(np.float64), axis=0).mean()
    for spec in ("vq16", "rvq2x16"):
        model = checkpoints.load(out / spec)
        with torch.no_grad():
            decoded = model.decode(model.encode(torch.from_numpy(rows).float())).double().numpy()
        error = ((decoded - rows) ** 2).mean() / variance
        assert table["metrics.relative_error"][spec] == pytest.approx(error, rel=1e-3)
    assert table["metrics.relative_error"]["rvq2x16"] < table["metrics.relative_error"]["vq16"] < 1
    stages = table.stages["rvq2x16"]
    assert stages[1]["metrics"]["relative_error"] < stages[0]["metrics"]["relative_error"]


NETWORKS = """
from torch import nn

def patches(config):
    patch, n = 3 * config.stride**2, config.features
    return (
        nn.Sequential(nn.PixelUnshuffle(config.stride), nn.Conv2d(patch, n, 1)),
        nn.Sequential(nn.Conv2d(n, patch, 1), nn.PixelShuffle(config.stride)),
    )
"""


def test_own_networks(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named in the words each time: what a file names is not imported."""
    (tmp_path / "networks_to_compare.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    model = ["--model", "networks_to_compare:patches"]
    words = ["compare", str(images), "--quantizers", "vq4", "--out", "out", *WORDS]
    assert main([*words, *model]) == 0
    assert f"codeword report out/vq4 {' '.join(model)}" in capsys.readouterr().out
    monkeypatch.delitem(sys.modules, "networks_to_compare")
    for refused in (words, ["report", "out/vq4"]):
        assert main(refused) == 2
        assert "networks_to_compare:patches" in capsys.readouterr().err
        assert "networks_to_compare" not in sys.modules
    assert main(["report", "out/vq4", *model]) == 0
    assert "--model networks_to_compare:patches" in (tmp_path / "out/vq4/report.html").read_text("utf-8")
    assert main([*words, *model]) == 0
    assert "vq4 was done before" in capsys.readouterr().out


def test_peak_memory_is_of_what_lives_at_once() -> None:
    def work() -> None:
        for _ in range(3):
            torch.zeros(10**6)  # each is freed before the next
        kept = torch.zeros(10**6) + torch.zeros(10**6)
        assert len(kept) == 10**6

    assert peak_bytes(work, "cpu") == 12 * 10**6
