"""Small files that ask for much memory are refused before they get it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.bombs import bombs


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_bombs_take_little_memory(tmp_path):
    names = bombs(tmp_path / "bombs")
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, "-m", "faults.bombs", str(tmp_path / "bombs")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    said = {line.split("|")[0]: int(line.split("|")[1]) for line in result.stdout.splitlines() if "|" in line}
    assert set(said) == set(names), result.stdout
    # MB more than before; Pillow, pickle, libsndfile and Arrow bring code with them.
    assert max(said.values()) < 200, result.stdout
