"""The Triton kernel in Triton's interpreter, in a process of its own, which the switch needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


def test_triton_search_in_the_interpreter() -> None:
    script = Path(__file__).with_name("triton_in_interpreter.py")
    environment = os.environ | {"TRITON_INTERPRET": "1", "CODEWORD_KERNEL": "triton", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
