"""What do stages bring that learn one after another, beside one codebook and a stack that learns at once?

The same autoencoder is trained with outputs from the codes as they are after the update of the step, and, for a
stack, with each stage learning before the next one is searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.measure import machine
from codeword import Quantizer, Residual, VectorQuantizer

SEEDS = (0, 1, 2)
STEPS = 600
FEATURES = 32
HELD_OUT = 297

Batch = Callable[[int, torch.Generator], Tensor]


@cache
def pixels() -> Tensor:
    x = torch.from_numpy(load_digits().data).float()
    return (x - x.mean()) / x.std()


def digits(step: int, draw: torch.Generator) -> Tensor:
    """256 of the first 1,500 digits, each pixel standardised as a whole; step -1: those held out."""
    x = pixels()
    return x[-HELD_OUT:] if step < 0 else x[torch.randint(len(x) - HELD_OUT, (256,), generator=draw)]


def drifting(step: int, draw: torch.Generator) -> Tensor:
    """A normal cloud of which every feature moves by one standard deviation in all; step -1: at its end."""
    mean = 5 * (step if step >= 0 else STEPS) / STEPS / math.sqrt(64)
    rows = 256 if step >= 0 else 2000
    return torch.randn(rows, 64, generator=draw) @ mixing() + mean


def mixing() -> Tensor:
    """Features that go together, as real ones do."""
    return (
        torch.randn(64, 64, generator=torch.Generator().manual_seed(9))
        * torch.linspace(1, 0.05, 64)[:, None]
        / 8
    )


def one() -> Quantizer:
    return VectorQuantizer(FEATURES, 64)


def eight(*, stagewise: bool = False) -> Quantizer:
    return Residual([VectorQuantizer(FEATURES, 64) for _ in range(8)], stagewise=stagewise)


WAYS: dict[str, Callable[[], Quantizer]] = {
    "one codebook, after": one,
    "eight stages, after": eight,
    "eight stages, stagewise": lambda: eight(stagewise=True),
}


def error(way: str, batch: Batch, seed: int) -> tuple[float, float]:
    """Relative mean squared error of what was held out, and of the outputs in the last 100 training steps."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, FEATURES))
    decoder = nn.Sequential(nn.Linear(FEATURES, 128), nn.GELU(), nn.Linear(128, 64))
    quantizer = WAYS[way]()
    model = nn.ModuleList([encoder, quantizer, decoder])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    trained = []
    for step in range(STEPS):
        x = batch(step, draw)
        out = quantizer(encoder(x))
        loss = (decoder(out.quantized) - x).square().mean()
        optimiser.zero_grad()
        (loss + out.loss).backward()
        optimiser.step()
        trained.append(float(loss.detach()) / float(x.var()))
    model.eval()
    with torch.no_grad():
        x = batch(-1, draw)
        held = (decoder(quantizer(encoder(x)).quantized) - x).square().mean() / x.var()
    return float(held), sum(trained[-100:]) / 100


def main() -> None:
    print("| data | codes | held out | last 100 steps of training |\n| --- | --- | --- | --- |")
    for batch in (digits, drifting):
        for way in WAYS:
            errors = torch.tensor([error(way, batch, seed) for seed in SEEDS])
            cells = [
                f"{values.mean():.4f} ({values.min():.4f} to {values.max():.4f})"
                for values in errors.unbind(1)
            ]
            print(f"| {batch.__name__} | {way} | {' | '.join(cells)} |", flush=True)
    print(f"\n{machine('torch')}")


if __name__ == "__main__":
    main()
