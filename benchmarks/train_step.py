"""How fast is a training step, and eval? Against the two layers of the registry; and a residual stack of eight."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.layers import LAYERS, RESIDUAL
from benchmarks.measure import Milliseconds, alternate, machine, print_table

SHAPES = [(16384, 1024, 64), (16384, 8192, 32)]
RESIDUAL_SHAPE = (16384, 1024, 128)


def times(n: int, k: int, d: int) -> tuple[Milliseconds, Milliseconds]:
    rows = torch.randn(n, d)
    layers = {name: build(d, k) for name, build in LAYERS.items()}
    train = {name: partial(layer.train_step, rows) for name, layer in layers.items()}
    evaluate = {name: partial(layer.evaluate, rows) for name, layer in layers.items()}
    return alternate(train, rounds=5), alternate(evaluate, rounds=5)


def main() -> None:
    torch.manual_seed(0)
    measured = {str(shape): times(*shape) for shape in SHAPES}
    shape = "rows, codes, features"
    train = {label: both[0] for label, both in measured.items()}
    print_table("Training step: time, and its ratio to the others' (their time)", shape, train)
    evaluate = {label: both[1] for label, both in measured.items()}
    print_table("Eval: time, and its ratio to the others' (their time)", shape, evaluate)
    n, k, d = RESIDUAL_SHAPE
    rows = torch.randn(n, d)
    stacks = {name: partial(build(d, k).train_step, rows) for name, build in RESIDUAL.items()}
    stack_times = {str(RESIDUAL_SHAPE): alternate(stacks, rounds=3)}
    print_table("Training step of a residual stack of eight", shape, stack_times)
    print(f"\n{machine('torch', 'llvmlite', 'vector-quantize-pytorch', 'quantizer-pytorch')}")


if __name__ == "__main__":
    main()
