"""A process that is killed, or a disk that is full: what was finished is whole, and going on gives the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("harness.py")
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")


def scene(what: str, seed: int, kills: int, folder: Path) -> dict[str, object]:
    """What the harness tells of a scene."""
    result = subprocess.run(
        [sys.executable, str(HARNESS), what, str(seed), str(kills), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return told


@posix
@pytest.mark.parametrize("what", ["train", "encode"])
def test_killed_three_times(what, tmp_path):
    assert scene(what, 0, 3, tmp_path)["kills"] == 3


@posix
@pytest.mark.soak
@pytest.mark.parametrize("what", ["train", "encode"])
def test_killed_thirty_times(what, tmp_path):
    assert scene(what, 1, 30, tmp_path)["kills"] == 30


@posix
def test_a_disk_that_fills_up(tmp_path):
    told = scene("full", 0, 2, tmp_path)
    assert told["codes"] == [2, 2]
