"""Every example runs, in a short form, and ends with what it promises."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"

# Of each example: the words that make it short, and what it must say.
SHORT: dict[str, tuple[list[str], str]] = {
    "audio_codec.py": (["20"], "at 2800 bits a second"),
    "custom_part.py": ([], "NextToTheBusiest(share=0.05, spread=0.01)           codes used 256 of 256"),
    "gallery.py": (["1"], "digits-kmeans: squared error over variance 0."),
    "generative_recommender.py": (["20"], "IDs that there are 100.0%"),
    "llm_tokens.py": (["60", "20"], "new pictures: 6 of 6"),
    "minimal_vqvae.py": (["100"], "codes used 64 of 64"),
    "part_template.py": ([], "all 4 checks of Trusted(radius=1.2) passed"),
    "semantic_ids.py": ([], "1797 of 1797 IDs differ"),
}
SLOW = {"gallery.py"}  # it measures all photographs, and the JPEGs beside them
# These leave settings of their own in a process, so each gets one.
ALONE: dict[str, tuple[list[str], str]] = {
    "accelerate_loop.py": (["10"], "codebooks of all processes are the same: True"),
    "lightning_module.py": (["8"], "codes used per stage 64 of 64"),
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SHORT) | set(ALONE)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in SHORT]
)
def test_it_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, promise = SHORT[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *words])
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("default")
        torch.manual_seed(0)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert promise in capsys.readouterr().out


@pytest.mark.parametrize("name", ALONE)
def test_it_runs_in_a_process(name: str, tmp_path: Path) -> None:
    words, promise = ALONE[name]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert promise in done.stdout
