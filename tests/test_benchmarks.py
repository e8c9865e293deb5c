"""The benchmark for GPUs runs, on small shapes: what a GPU would be lent for must not fail at a typing error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_gpu_benchmark_on_the_cpu(tmp_path):
    out = tmp_path / "results" / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--divide", "4096"]
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*command, "--json", str(out)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(out.read_text())
    lines = told["lines"]
    assert len(lines) == 20
    assert len(told["checks"]) == 71
    assert not any(check["wrong"] for check in told["checks"])
    for line in lines:
        assert line["ours"] > 0
        assert line["operations"] > 0
        if line["what"].startswith("search") and line["peer"] != "one by one":
            assert line["right"] == 1
