"""Programs that are written for vector-quantize-pytorch, after what public code does with it, run unchanged."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs" / "run_all.py"


def test_programs_run_unchanged_with_the_facade(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same shapes as with the original, of everything that they print."""
    pytest.importorskip("vector_quantize_pytorch")
    monkeypatch.syspath_prepend(str(PROGRAMS.parent))
    for path in PROGRAMS.parent.glob("*.py"):
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    runpy.run_path(str(PROGRAMS))
    *expected, other = capsys.readouterr().out.splitlines()
    command = [sys.executable, "-m", "codeword.compat", str(PROGRAMS)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    *found, name = ran.stdout.splitlines()
    assert found == expected
    assert len(found) == 6
    assert (name, other) == ("codeword.compat.vector_quantize_pytorch", "vector_quantize_pytorch")
