"""How much memory does a training step take beyond what was there before? Linux only.

Each measurement has a process of its own: clear the high-water mark of resident memory, step, read the mark.
(The maximum that `getrusage` reports cannot be cleared, and hides a step behind the start of the process.)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

SHAPES = [(16384, 8192, 32), (65536, 65536, 32)]
TOO_LARGE = 1 << 30  # scores: the others hold several matrices of this many, 70 GB in all


def extra(name: str, n: int, k: int, d: int) -> float:
    """MiB that the first training step after the initialising one takes at its peak."""
    from benchmarks.layers import LAYERS

    layer, rows = LAYERS[name](d, k), torch.randn(n, d)
    layer.train_step(torch.randn(64, d))
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    layer.train_step(rows)
    return _status("VmHWM") - before


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def in_own_process(name: str, n: int, k: int, d: int) -> float:
    """`extra`, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.memory", name, str(n), str(k), str(d)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _cell(name: str, n: int, k: int, d: int) -> str:
    if name != "codeword" and n * k > TOO_LARGE:
        return "not tried"
    return f"{in_own_process(name, n, k, d):.0f} MiB"


def main() -> None:
    if len(sys.argv) > 1:
        print(extra(sys.argv[1], *map(int, sys.argv[2:])))
        return
    names = ["codeword", "vector-quantize-pytorch", "quantizer-pytorch"]
    print("\nPeak extra memory of a training step\n")
    print(f"| rows, codes, features | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    for shape in SHAPES:
        print(f"| {shape} | {' | '.join(_cell(name, *shape) for name in names)} |")


if __name__ == "__main__":
    main()
