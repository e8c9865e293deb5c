"""P14: a step runs few operators, and no change adds to them unseen."""

from __future__ import annotations

import json

import pytest
import torch

import codeword
from promises.cases import CASES, every_case
from promises.operators import ROWS, TABLE, TORCH, measure, measure_case, read

# Training forward, its backward, eval forward; at 64 features, by the kernel that searches. In plain torch a search is
# nine operators, in LLVM one. The eval forward is the first one, which prepares the codes.
BUDGETS = {
    "llvm": {
        "vq1024": (82, 11, 23),
        "rvq8x1024": (170, 14, 50),
        "gvq4x1024": (122, 14, 30),
        "fsq8-5-5-5": (35, 16, 25),
        "lfq10": (50, 32, 45),
    },
    "blocked": {
        "vq1024": (90, 11, 31),
        "rvq8x1024": (234, 14, 115),
        "gvq4x1024": (154, 14, 63),
        "fsq8-5-5-5": (35, 16, 25),
        "lfq10": (50, 32, 45),
    },
}
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
