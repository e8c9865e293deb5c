"""P14: a step runs few operators, and no change adds to them unseen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

import codeword
from promises.cases import CASES, every_case
from promises.operators import ROWS, TABLE, TORCH, measure, measure_case, read

# Training forward, its backward, eval forward; at 64 features, by the kernel that searches. In plain torch a search is
# nine operators, in LLVM one. The eval forward is the first one, which prepares the codes.
BUDGETS = {
    "llvm": {
        "vq1024": (49, 10, 10),
        "rvq8x1024": (109, 11, 27),
        "gvq4x1024": (77, 11, 14),
        "fsq8-5-5-5": (22, 13, 14),
        "lfq10": (43, 29, 38),
    },
    "blocked": {
        "vq1024": (79, 10, 28),
        "rvq8x1024": (218, 11, 109),
        "gvq4x1024": (115, 11, 33),
        "fsq8-5-5-5": (22, 13, 14),
        "lfq10": (43, 29, 38),
    },
}
# The same where Triton serves, each of its kernels counted as one; eval with prepared codes. The codebooks are small,
# because the interpreter is slow, and sizes do not change how many operators there are.
TRITON_BUDGETS = {"vq16": (45, 10, 6), "rvq8x16": (59, 11, 9)}
WRITE = "python tests/promises/operators.py"


counted = pytest.mark.skipif(
    json.loads(TABLE.read_text())["torch"] != TORCH, reason="operators were counted with another torch"
)


@counted
@pytest.mark.parametrize("kernel", BUDGETS)
@pytest.mark.parametrize("spec", BUDGETS["llvm"])
def test_a_step_keeps_its_budget(spec, kernel, monkeypatch):
    if kernel == "llvm":
        pytest.importorskip("llvmlite")
    monkeypatch.setenv("CODEWORD_KERNEL", kernel)
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=64)
    counts = measure(quantizer, torch.randn(1, ROWS, 64, dtype=torch.float32))
    budget = BUDGETS[kernel][spec]
    assert all(n <= most for n, most in zip(counts, budget, strict=True)), (counts, budget)


def test_a_step_keeps_its_budget_with_triton_kernels():
    triton = pytest.importorskip("triton")
    newest = tuple(int(number) for number in numpy.__version__.split(".")[:2])
    if tuple(int(number) for number in triton.__version__.split(".")[:2]) < (3, 7) and newest >= (2, 4):
        pytest.skip("the interpreter of Triton up to 3.6 knows NumPy up to 2.3")
    script = Path(__file__).with_name("triton_operators.py")
    environment = os.environ | {"TRITON_INTERPRET": "1", "KINETO_LOG_LEVEL": "99", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", script, *TRITON_BUDGETS]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    counts = json.loads(run.stdout.splitlines()[-1])
    for spec, budget in TRITON_BUDGETS.items():
        assert all(n <= most for n, most in zip(counts[spec], budget, strict=True)), (
            spec,
            counts[spec],
            budget,
        )


@counted
@every_case("P14")
def test_no_step_runs_more_operators_than_the_table_says(case, monkeypatch):
    monkeypatch.setenv("CODEWORD_KERNEL", "blocked")
    known = read().get(case.name)
    assert known, f"{case.name} is not in {TABLE.name}: run `{WRITE}`, which adds it, and commit the file"
    counts = measure_case(case)
    assert all(n <= most for n, most in zip(counts, known, strict=True)), (
        f"{case.name} runs {counts} operators (training forward, backward, eval) where the table has {known}; if it "
        f"has to be so: `{WRITE} --force`"
    )


def test_the_table_has_no_case_that_is_gone():
    assert set(read()) <= {case.name for case in CASES}, f"run `{WRITE}`"


def test_only_work_counts():
    from promises.operators import count

    x = torch.ones(4, 4, dtype=torch.float32)
    assert count(lambda: x.view(16)[None].expand(3, 16).T) == 0
    assert count(lambda: (x + x).view(16).sum()) == 2
