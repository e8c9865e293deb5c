"""P5: memory is O(N + K): no tensor of N x K numbers, no one-hot."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import accumulate
from operator import itemgetter
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

import codeword
from promises.cases import every_case

ROWS, CODES = 2048, 2048
N_TIMES_K = ROWS * CODES * 4  # bytes: 16 MiB of float32
BLOCK = (
    4 << 20
)  # scores of the plain search at once; other pairs are worked through in blocks of a quarter of that

MEASURE = """
import sys, torch, codeword

def high_water():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

rows, codes, features, training = (int(argument) for argument in sys.argv[1:])
torch.set_num_threads(1)
vq = codeword.VectorQuantizer(features, codes, update=codeword.EMA(init=codeword.inits.Sample()))
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
@pytest.mark.parametrize("training", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_step_stays_far_below_n_times_k(training):
    rows, codes, features = 16384, 16384, 16  # N x K floats would be 1,024 MiB
    arguments = [sys.executable, "-c", MEASURE, *map(str, (rows, codes, features, int(training)))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 64


def allocations(run: Callable[[], object]) -> list[int]:
    """The bytes that torch took (and, below 0, gave back), in order; those taken inside our own operators too."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
        run()
    events, found = list(profiled.profiler.kineto_results.experimental_event_tree()), []
    while events:
        event = events.pop()
        events += event.children
        if event.name == "[memory]":
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    return [size for _, size in sorted(found, key=itemgetter(0))]


def enlarged(case):
    """The case with as many rows and codes as make N x K stand out."""
    quantizer = case.build()
    books = r"\b(vq|rpq|memory|(?:rvq|gvq|avq|qinco|multiscale)\d+x)\d+"
    spec = re.sub(books, rf"\g<1>{CODES}", quantizer.spec)
    axis = 1 if quantizer.dim == 0 else 0
    rows = case.x().numel() // quantizer.features
    x = torch.cat([case.x(seed) for seed in range(ROWS // rows)], axis)
    return codeword.from_spec(spec, features=quantizer.features, dim=quantizer.dim), x


@every_case("P5", one_in=3)
def test_no_step_holds_n_times_k(case, monkeypatch):
    monkeypatch.setenv("CODEWORD_KERNEL", "blocked")  # the largest scratch of all
    quantizer, x = enlarged(case)
    quantizer(case.x())
    x.requires_grad_()

    def train() -> None:
        out = quantizer(x)
        (out.quantized.sum() + out.loss).backward()

    def infer() -> None:
        indices = quantizer.encode(x)
        if quantizer.no_decode is None:
            quantizer.decode(indices)

    for run in (train, infer):
        sizes = allocations(run)
        assert max(sizes) <= BLOCK
        assert max(accumulate(sizes)) < N_TIMES_K


def test_the_measure_sees_what_it_should():
    pair = torch.ones(ROWS, 1, dtype=torch.float32), torch.ones(1, CODES, dtype=torch.float32)
    sizes = allocations(lambda: torch.mm(*pair).argmin(1))
    assert max(sizes) == N_TIMES_K
    assert sum(sizes) == 0
