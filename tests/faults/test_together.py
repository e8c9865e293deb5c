"""Several at once: threads that encode, and commands on one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import codeword
from codeword import CodewordError
from codeword.cli import main
from codeword.files import TEMPORARY
from codeword.workbench.data import save_png
from codeword.workbench.training.loading import batches_ahead
from codeword.workbench.training.run import Run

TINY = "--steps 4 --batch 2 --size 16 --width 8 --features 4 --codes 16 --stride 4 --threads 1".split()  # noqa: SIM905
SPECS = (
    "vq64",
    "rvq3x16",
    "gvq2x16",
    "fsq8-5-5-5",
    "lfq8",
    "vq64,cosine",
    "vq64,code_features=3",
    "memory16",
)


@pytest.mark.parametrize("spec", SPECS)
def test_eight_threads_encode_as_one_does(spec):
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=8)
    quantizer(torch.randn(500, 8))
    batches = [torch.randn(37 + number, 8) for number in range(64)]
    alone = [quantizer.encode(batch) for batch in batches]
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(quantizer.encode, batches))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a run."""
    folder = tmp_path_factory.mktemp("together")
    generator = np.random.default_rng(0)
    for number in range(30):
        save_png(folder / "pictures" / f"{number:02d}.png", generator.integers(0, 256, (20, 24, 3), np.uint8))
    assert main(["train", str(folder / "pictures"), "--out", str(folder / "run"), *TINY]) == 0
    return folder


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "codeword", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_two_encoders_share_a_folder(scene: Path) -> None:
    """Both may make the same file; each is renamed into its place whole, with the same bytes."""
    words = ["encode", "run", "pictures", "--shard-rows", "2", "--out"]
    assert (
        main(
            [
                "encode",
                str(scene / "run"),
                str(scene / "pictures"),
                "--shard-rows",
                "2",
                "--out",
                str(scene / "one"),
            ]
        )
        == 0
    )
    both = [start(scene, *words, "both") for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert contents(scene / "both") == contents(scene / "one")


def test_what_a_killed_encoder_left_is_no_obstacle(scene: Path) -> None:
    """Killed before even the facts of the encoding were written."""
    out = scene / "left"
    out.mkdir()
    (out / TEMPORARY.replace("*", "0123456789ab")).write_bytes(b"half")
    assert main(["encode", str(scene / "run"), str(scene / "pictures"), "--out", str(out)]) == 0


class Broken:
    """Batches that cannot be made."""

    def batch(self, step: int) -> torch.Tensor:
        raise MemoryError("no room for a batch")


def test_an_unforeseen_error_of_a_worker_is_one_line() -> None:
    with pytest.raises(CodewordError, match="but got MemoryError: no room for a batch; go on") as raised:
        next(batches_ahead(Broken(), 0, 3, workers=1))
    assert "\n" not in str(raised.value)
    with pytest.raises(MemoryError):  # no worker's
        next(batches_ahead(Broken(), 0, 3, workers=0))


@pytest.fixture
def fit_words(tmp_path: Path) -> list[str]:
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32))
    return ["fit", str(tmp_path / "vectors.npy"), "--quantizer", "vq8", "--out", str(tmp_path / "run")]


def test_what_a_killed_fit_left_is_no_obstacle(fit_words: list[str], tmp_path: Path) -> None:
    """Killed between its config and its weights; a config of another program is no such thing."""
    config, weights = tmp_path / "run" / "config.json", tmp_path / "run" / "model.safetensors"
    assert main(fit_words) == 0
    whole = contents(config.parent)
    weights.unlink()
    assert main(fit_words) == 0
    assert contents(config.parent) == whole
    weights.unlink()
    config.write_text("{}")
    assert main(fit_words) == 2
    assert config.read_text() == "{}"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_fit_where_another_is_at_work(fit_words, tmp_path, capsys):
    """Refused before it works for hours; and a folder in which nothing came about goes again."""
    with Run(tmp_path / "run").claimed():
        assert main(fit_words) == 2
        assert "another codeword is at work" in capsys.readouterr().err
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()
    assert main([*fit_words, "--beam", "0"]) == 2
    assert not (tmp_path / "run").exists()
    assert main(fit_words) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_two_commands_on_one_run(
    scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second is refused while the first is at work, and the first is not harmed."""
    monkeypatch.chdir(scene)
    words = ["train", "pictures", *TINY[2:], "--steps", "100000", "--out", "busy"]
    first = start(scene, *words)
    try:
        deadline = time.monotonic() + 300
        while not (scene / "busy" / "model.safetensors").exists():
            assert time.monotonic() < deadline
            assert first.poll() is None, first.communicate()
            time.sleep(0.1)
        for again in (["train", "pictures", "--out", "busy", "--resume"], words):
            assert main(again) == 2
            errors = capsys.readouterr().err
            assert "another codeword is at work" in errors or "which has train.json" in errors
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=300)
        assert first.returncode == 130, errors
    finally:
        first.kill()
    codeword.from_pretrained(scene / "busy")
