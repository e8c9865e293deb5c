"""P5: memory is O(N + K): no tensor of N x K numbers, no one-hot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import sys, torch, codeword

def high_water():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

rows, codes, features, training = (int(argument) for argument in sys.argv[1:])
torch.set_num_threads(1)
vq = codeword.VectorQuantizer(features, codes, update=codeword.EMA(init=codeword.Sample()))
x = torch.randn(rows, features, requires_grad=True)
vq(x[:10])  # what is loaded and compiled once is not the step's
vq(x).loss.backward()
vq.train(bool(training))
open("/proc/self/clear_refs", "w").write("5")
before = high_water()
out = vq(x)
(out.quantized.sum() + out.loss).backward()
print(high_water() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's high-water mark")
@pytest.mark.parametrize("training", [True, False])
def test_a_step_stays_far_below_n_times_k(training):
    rows, codes, features = 16384, 16384, 16  # N x K floats would be 1,024 MiB
    arguments = [sys.executable, "-c", MEASURE, *map(str, (rows, codes, features, int(training)))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 64
