"""What does a step cost by the size of its batch? Time on one thread and memory, against vector-quantize-pytorch.

The figures go into benchmarks/results/batches.json too, and `python -m benchmarks.figures batches` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from benchmarks import memory
from benchmarks.layers import LAYERS, RESIDUAL, Layer
from benchmarks.measure import Milliseconds, alternate, machine, print_table

RESULTS = Path(__file__).parent / "results" / "batches.json"
ROWS = (256, 2048, 16384)
CODES, FEATURES = 1024, 128
KINDS = {"vq1024": LAYERS, "rvq8x1024": RESIDUAL}
COMPARED = ("codeword", "vector-quantize-pytorch")


def times(layers: Mapping[str, Callable[[int, int], Layer]], count: int) -> tuple[Milliseconds, Milliseconds]:
    """Of a training step, forward and backward, and of a forward in eval."""
    rows = torch.randn(count, FEATURES, dtype=torch.float32)
    built = {name: layers[name](FEATURES, CODES) for name in COMPARED}
    train = {name: partial(layer.train_step, rows) for name, layer in built.items()}
    evaluate = {name: partial(layer.evaluate, rows) for name, layer in built.items()}
    rounds = 3 if count == max(ROWS) else 15
    return alternate(train, rounds=rounds), alternate(evaluate, rounds=rounds)


def mebibytes(count: int) -> dict[str, float]:
    """Of a training step of vq1024, at its peak."""
    return {name: memory.in_own_process(name, count, CODES, FEATURES) for name in COMPARED}


def main() -> None:
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured = {f"{kind}, {n}": times(layers, n) for kind, layers in KINDS.items() for n in ROWS}
    finally:
        torch.set_num_threads(threads)
    tables = {}
    for number, mode in enumerate(("Training step", "Eval")):
        tables[mode] = {label: both[number] for label, both in measured.items()}
        title = f"{mode} on one thread: time, and its ratio to the other's (its time)"
        print_table(title, "layer, rows", tables[mode])
    tables["Memory"] = {f"vq1024, {n}": mebibytes(n) for n in ROWS}
    print("\nMemory of a training step at its peak, MiB: " + json.dumps(tables["Memory"]))
    where = f"{machine('torch', 'llvmlite', 'vector-quantize-pytorch')}; one of them used"
    print(f"\n{where}")
    RESULTS.write_text(json.dumps({"machine": where, "features": FEATURES, **tables}, indent=1) + "\n")


if __name__ == "__main__":
    main()
