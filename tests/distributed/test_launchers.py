"""torchrun starts it, and accelerate's precision leaves codes and statistics alone."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from promises.cases import every_case

SCRIPT = Path(__file__).with_name("torchrun_script.py")


def test_torchrun_with_a_group_made_after_the_module(tmp_path):
    """Two processes of a script, with the rendezvous that torchrun finds by itself."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, str(SCRIPT), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    first, second = ((tmp_path / f"rank-{rank}").read_text() for rank in range(2))
    assert first == second
    assert first.startswith("of 2: ")


@every_case("P8")
def test_accelerate_in_bfloat16_changes_no_code(case):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    torch.manual_seed(0)
    plain = case.build()
    model = nn.Sequential(copy.deepcopy(plain))
    try:
        prepared = Accelerator(cpu=True, mixed_precision="bf16").prepare(model)
        for step in range(3):
            a, b = plain(case.x(step)), prepared(case.x(step))
            assert type(b) is type(a)
            assert torch.equal(a.indices, b.indices)
            assert torch.equal(a.quantized, b.quantized)
        for key, value in plain.state_dict().items():
            assert torch.equal(value, model[0].state_dict()[key]), key
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
