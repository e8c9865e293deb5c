"""Programs that are written for vector-quantize-pytorch, after what public code does with it, run unchanged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs" / "run_all.py"


def lines(*command: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, *command, str(PROGRAMS)], capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_programs_run_unchanged_with_the_facade() -> None:
    """With the same shapes as with the original, of everything that they print."""
    pytest.importorskip("vector_quantize_pytorch")
    *found, name = lines("-m", "codeword.compat")
    *expected, other = lines()
    assert found == expected
    assert len(found) == 6
    assert (name, other) == ("codeword.compat.vector_quantize_pytorch", "vector_quantize_pytorch")
