"""What does a call cost before there is much to compute? Small batches, one thread, against vector-quantize-pytorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from benchmarks.layers import LAYERS, RESIDUAL, Layer
from benchmarks.measure import Milliseconds, alternate, machine, print_table

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


def main() -> None:
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured = {f"{kind}, {n}": times(layers, n) for kind, layers in KINDS.items() for n in ROWS}
    finally:
        torch.set_num_threads(threads)
    for number, mode in enumerate(("Training step", "Eval")):
        table = {label: both[number] for label, both in measured.items()}
        print_table(
            f"{mode} on one thread: time, and its ratio to the other's (its time)", "layer, rows", table
        )
    print(f"\n{machine('torch', 'llvmlite', 'vector-quantize-pytorch')}; one of them used")


if __name__ == "__main__":
    main()
