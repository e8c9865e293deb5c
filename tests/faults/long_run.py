"""Twenty thousand steps of a residual quantizer on data that drifts, as a program: prints what came of it.

python long_run.py STEPS
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time

import torch

import codeword

ROWS, FEATURES = 256, 8


def batch(step: int, steps: int) -> torch.Tensor:
    """Rows of 24 clusters whose centres wander, by ten times their width in a whole run."""
    draw = torch.Generator().manual_seed(step)
    angles = torch.arange(24 * FEATURES).view(24, FEATURES) * 1.7 + 10 * step / steps
    centres = 5 * angles.sin()
    return centres[torch.randint(24, (ROWS,), generator=draw)] + torch.randn(ROWS, FEATURES, generator=draw)


def memory() -> int:
    """What this process holds now, in KiB; the peak where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(steps: int) -> dict[str, object]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rvq = codeword.from_spec("rvq4x64", features=FEATURES)
    seconds: list[float] = []
    held: list[int] = []
    window = steps // 20
    for step in range(steps):
        if step == steps - window:
            rvq.reset_usage()
        rows = batch(step, steps)
        begun = time.process_time()
        rvq(rows)
        seconds.append(time.process_time() - begun)
        if step % window == window - 1:
            held.append(memory())
    usage = rvq.usage()
    rows = batch(steps, steps)
    rvq.eval()
    error = float((rvq(rows).quantized - rows).square().mean() / rows.var(0).mean())
    return {
        "steps": steps,
        "used": float((usage.used / (usage.used + usage.dead)).min()),
        "first_ms": 1000 * statistics.median(seconds[1 : window + 1]),
        "last_ms": 1000 * statistics.median(seconds[-window:]),
        "held_kib": [held[0], held[len(held) // 2], held[-1]],
        "relative_error": error,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(int(sys.argv[1]))) + "\n")
