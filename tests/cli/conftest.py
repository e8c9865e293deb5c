"""The command, run as a user runs it, on a tiny real run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from codeword.workbench.data import save_png, training

TINY = [
    "--steps",
    "12",
    "--batch",
    "4",
    "--size",
    "16",
    "--width",
    "8",
    "--features",
    "4",
    "--codes",
    "16",
    "--stride",
    "4",
    "--threads",
    "1",
]
WATCHDOG = 600  # seconds for what takes some: only what hangs is to be ended
Command = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "MPLBACKEND": "agg"}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `codeword WORDS` in an empty folder."""

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "codeword", *words],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=WATCHDOG,
            check=False,
            **options,  # type: ignore[call-overload]
        )

    return run


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures: three good ones of odd sizes, one broken, one smaller than a code."""
    folder = tmp_path_factory.mktemp("images")
    photographs = [image for _, image in training()[:3]]
    for name, image in zip(("a.png", "deep/b.png", "deep/c.png"), photographs, strict=True):
        save_png(folder / name, image[200:241, 150:213])
    save_png(folder / "small.png", np.zeros((3, 50, 3), np.uint8))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """A finished run on `images`."""
    from codeword.cli import main

    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(images), "--out", str(folder), *TINY]) == 0
    return folder
