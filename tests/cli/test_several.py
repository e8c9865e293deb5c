"""Training in two processes, as torchrun and accelerate start them: what one process makes of the whole batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codeword import checkpoints
from codeword.cli import main

from .conftest import TINY, WATCHDOG, environment

LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"],
    "accelerate": [
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes=2",
        "--main_process_port=0",
    ],
}

# The command, and then the threads that are left when the interpreter ends: one of gloo may abort the process.
SCRIPT = """
import sys
from pathlib import Path
from codeword.cli import main

code = main()
threads = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in threads if "gloo" in name], threads
sys.exit(code)
"""


def launch(launcher: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, *LAUNCHERS[launcher], str(script), *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )


@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("accelerate", marks=pytest.mark.slow)])
def test_two_processes_train_as_one(
    tmp_path: Path, images: Path, launcher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("accelerate")
    torch.set_num_threads(1)
    one, two = tmp_path / "one", tmp_path / "two"
    words = ["train", str(images), *TINY, "--device", "cpu"]
    result = launch(launcher, tmp_path, *words, "--out", str(two))
    assert result.returncode == 0, result.stderr
    assert "on 2 processes on cpu" in result.stdout
    assert result.stdout.count("step 12/12") == 1, "one of them speaks"
    assert "Traceback" not in result.stderr
    assert main([*words, "--out", str(one)]) == 0
    expected, found = checkpoints.load(one).state_dict(), checkpoints.load(two).state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert json.loads((two / "train.json").read_text())["processes"] == 2
    assert json.loads((one / "train.json").read_text())["processes"] == 1
    assert sorted(file.name[:9] for file in two.iterdir()) == sorted(file.name[:9] for file in one.iterdir())
    capsys.readouterr()
    assert main(["train", str(images), "--out", str(two), "--resume"]) == 2
    assert "expected 2 processes to go on with" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_resume_and_refuse(tmp_path: Path, images: Path) -> None:
    pytest.importorskip("accelerate")
    out = tmp_path / "run"
    words = ["train", str(images), "--out", str(out)]
    refused = launch("torchrun", tmp_path, *words, *TINY, "--batch", "3")
    assert refused.returncode != 0
    assert "a batch that 2 processes divide, but got 3" in refused.stderr
    out = tmp_path / "good"
    words = ["train", str(images), "--out", str(out)]
    assert launch("torchrun", tmp_path, *words, *TINY).returncode == 0
    before = checkpoints.stored_digest(out)
    again = launch("torchrun", tmp_path, *words, "--resume")
    assert again.returncode == 0, again.stderr
    assert "from step 12 of 12" in again.stdout
    assert checkpoints.stored_digest(out) == before
