"""The Triton kernel in Triton's interpreter, in a process of its own, which the switch needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

triton = pytest.importorskip("triton")


def version(package) -> tuple[int, ...]:
    return tuple(int(number) for number in package.__version__.split(".")[:2])


@pytest.mark.skipif(
    version(triton) < (3, 7) and version(numpy) >= (2, 4),
    reason="the interpreter of Triton up to 3.6, which torch 2.11 comes with, knows NumPy up to 2.3",
)
def test_triton_search_in_the_interpreter() -> None:
    script = Path(__file__).with_name("triton_in_interpreter.py")
    environment = os.environ | {"TRITON_INTERPRET": "1", "CODEWORD_KERNEL": "triton", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
