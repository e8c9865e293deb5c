"""Every class of vector-quantize-pytorch beside what does the same here: `python -m benchmarks.classes`.

Both with the same sizes, and otherwise as they come; GroupedResidual... and the like have two groups. Times are those
of the processor, so that other work on the machine counts less. `python -m benchmarks.classes FSQ LFQ --shape 16 1024`
measures these classes with 16 x 1024 vectors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.layers import Layer
from benchmarks.measure import Milliseconds, alternate, machine, print_table
from codeword import (
    FSQ,
    LFQ,
    Grouped,
    Multiscale,
    Quantizer,
    RandomProjection,
    Residual,
    ResidualFSQ,
    VectorQuantizer,
    methods,
)
from codeword.bounds import Gaussian
from codeword.inits import Normal
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import BinaryMapper, ResidualLFQ
from codeword.transforms import Linear
from codeword.updates import Frozen, Gradient

FEATURES, CODES, LEVELS, STAGES = 64, 1024, (8, 5, 5, 5), 4
SHAPE = (8, 256)  # vectors of a batch
SCALES = (1, 4, 16, 64, 256)

Ours = Callable[[], Quantizer]


def stack(features: int, size: int) -> Residual:
    return Residual.of(STAGES, features, size)


def sim_stack(features: int, size: int) -> Residual:
    rule = Frozen(init=Normal(), transform=Linear())
    parts = (
        VectorQuantizer(features, size, update=rule, penalties=(CodebookLoss(), Commitment()))
        for _ in range(STAGES)
    )
    return Residual(list(parts))


def two(build: Callable[..., Quantizer], *sizes: Any) -> Grouped:
    return Grouped([build(FEATURES // 2, *sizes) for _ in range(2)])


def latent(features: int, levels: tuple[int, ...]) -> Grouped:
    pulls = (CodebookLoss(0.1), Commitment(0.1))
    rule = Gradient(init=None, revival=None)
    values = [VectorQuantizer(1, level, update=rule, penalties=pulls) for level in levels]
    return Grouped(values, features=features)


SIZES: dict[str, Any] = {"dim": FEATURES, "codebook_size": CODES}
GRID: dict[str, Any] = {"dim": FEATURES, "levels": list(LEVELS)}
BITS: dict[str, Any] = {"dim": FEATURES, "codebook_size": 2**8}
MANY: dict[str, Any] = {"num_quantizers": STAGES}
CLASSES: dict[str, tuple[Ours, dict[str, Any]]] = {  # ours, and the options of theirs
    "VectorQuantize": (lambda: VectorQuantizer(FEATURES, CODES), SIZES),
    "ResidualVQ": (lambda: stack(FEATURES, CODES), SIZES | MANY),
    "GroupedResidualVQ": (lambda: two(stack, CODES), SIZES | MANY | {"groups": 2}),
    "SimVQ": (lambda: methods.simvq(FEATURES, CODES), SIZES),
    "ResidualSimVQ": (lambda: sim_stack(FEATURES, CODES), SIZES | MANY),
    "FSQ": (lambda: FSQ(FEATURES, LEVELS), GRID),
    "FSP": (lambda: FSQ(FEATURES, LEVELS, bound=Gaussian(), noise=1.0), GRID),
    "ResidualFSQ": (lambda: ResidualFSQ(FEATURES, LEVELS, STAGES), GRID | MANY),
    "GroupedResidualFSQ": (lambda: two(ResidualFSQ, LEVELS, STAGES), GRID | MANY | {"groups": 2}),
    "LatentQuantize": (lambda: latent(FEATURES, LEVELS), GRID),
    "LFQ": (lambda: LFQ(FEATURES, 8), BITS),
    "ResidualLFQ": (lambda: ResidualLFQ(FEATURES, 8, STAGES), BITS | MANY),
    "GroupedResidualLFQ": (lambda: two(ResidualLFQ, 8, STAGES), BITS | MANY | {"groups": 2}),
    "HierarchicalVQ": (
        lambda: Multiscale([VectorQuantizer(FEATURES, CODES)] * len(SCALES), sizes=SCALES),
        SIZES | {"scales": SCALES, "channel_first": False},
    ),
    "RandomProjectionQuantizer": (
        lambda: RandomProjection(FEATURES, CODES, code_features=16),
        SIZES | {"codebook_dim": 16},
    ),
    "BinaryMapper": (lambda: BinaryMapper(FEATURES, 8), {"bits": 8}),
}


class OfMaps(nn.Module):
    """Their `LatentQuantize`, which takes the vectors of maps."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out, *rest = self.layer(x.mT.unflatten(2, (16, -1)))
        return out.flatten(2).mT, *rest


class Embedded(nn.Module):
    """Their `BinaryMapper` between the linear layers that ours has."""

    def __init__(self, mapper: nn.Module) -> None:
        super().__init__()
        self.mapper, self.into = mapper, nn.Linear(FEATURES, 8)
        self.out = nn.Linear(2**8, FEATURES, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        codes, loss = self.mapper(self.into(x))
        return self.out(codes), loss


def called(module: nn.Module) -> Layer:
    """A module of either library; what returns labels alone has no gradient and no loss."""

    def call(x: Tensor) -> tuple[Tensor, Tensor]:
        out = module(x)
        if isinstance(out, Tensor):
            return x, torch.zeros(())
        losses = [part for part in out[1:] if isinstance(part, Tensor) and part.is_floating_point()]
        return out[0], sum((loss.sum() for loss in losses), torch.zeros(()))

    return Layer(module, call)


def evaluation(quantizer: Quantizer, rows: Tensor) -> Callable[[], object]:
    """A call that gives indices and their vectors in eval, as theirs does: forward, or without its losses."""

    @torch.no_grad()
    def coded() -> None:
        indices = quantizer.eval().encode(rows)
        if quantizer.decodes:
            quantizer.decode(indices)

    @torch.no_grad()
    def forward() -> None:
        quantizer.eval()(rows)

    with torch.no_grad():
        return coded if quantizer.eval()(rows).losses else forward


def times(name: str, shape: tuple[int, int], rounds: int) -> tuple[Milliseconds, Milliseconds]:
    """Of a training step, forward and backward, and of indices and their vectors in eval."""
    import vector_quantize_pytorch

    build, options = CLASSES[name]
    theirs = getattr(vector_quantize_pytorch, name)(**options)
    theirs = {"BinaryMapper": Embedded, "LatentQuantize": OfMaps}.get(name, nn.Sequential)(theirs)
    quantizer = build()
    built = {"codeword": called(quantizer), "vector-quantize-pytorch": called(theirs)}
    rows = torch.randn(*shape, FEATURES, dtype=torch.float32)
    train = {kind: partial(layer.train_step, rows) for kind, layer in built.items()}
    evaluate = {
        "codeword": evaluation(quantizer, rows),
        "vector-quantize-pytorch": partial(built["vector-quantize-pytorch"].evaluate, rows),
    }
    measure = partial(alternate, rounds=rounds, clock=time.process_time)
    return measure(train), measure(evaluate)


def main(shape: tuple[int, int] = SHAPE, names: Sequence[str] = tuple(CLASSES), rounds: int = 25) -> None:
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured = {name: times(name, shape, rounds) for name in names}
    finally:
        torch.set_num_threads(threads)
    for number, mode in enumerate(("Training step", "Eval")):
        table = {label: both[number] for label, both in measured.items()}
        print_table(f"{mode} of {shape[0]} x {shape[1]} vectors of {FEATURES} features", "class", table)
    print(f"\n{machine('torch', 'llvmlite', 'vector-quantize-pytorch')}; one of them used")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="classes; all if none")
    parser.add_argument("--shape", nargs=2, type=int, default=SHAPE, help="of a batch of vectors")
    asked = parser.parse_args()
    main(tuple(asked.shape), asked.names or tuple(CLASSES))
