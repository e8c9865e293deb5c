"""A small model around a quantizer, and its training, alone or as one of several ranks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import codeword
from promises.cases import CASES

__all__ = ["GRADIENT", "PLAIN", "Model", "batch", "close", "state", "step_alone"]

FEATURES, ROWS = 6, 48

_BUILT = {case.name: case.build() for case in CASES}
# Codes that learn by gradient, by the names of their cases.
GRADIENT = [name for name, quantizer in _BUILT.items() if codeword.models.codebook_parameters(quantizer)]
# One of each way that codes learn and stand together; their projections learn by gradient all the same.
PLAIN = [
    "vq-much-revival",
    "vq-projected",
    "in-place-adam",
    "residual-shared",
    "grouped-residual",
    "fsq",
    "bits",
]


class Model(nn.Module):
    """Rows (N, 6) to a quantizer and back; it encodes and decodes too."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(FEATURES, FEATURES)
        self.vq = next(case for case in CASES if case.name == name).build()
        self.decoder = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.vq(self.encoder(x))
        return (self.decoder(out.quantized) - x).square().mean() + out.loss

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.vq.encode(self.encoder(x))

    def decode(self, indices: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.vq.decode(indices))


def batch(step: int) -> torch.Tensor:
    return (1 + step % 3) * torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(step))


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def step_alone(
    name: str, steps: int, optimizer: Callable[..., torch.optim.Optimizer]
) -> dict[str, torch.Tensor]:
    """The state after one process has trained on the whole batches."""
    model = Model(name)
    chosen = optimizer(model.parameters())
    for step in range(steps):
        chosen.zero_grad()
        model(batch(step)).backward()
        chosen.step()
    return state(model)


def close(state: dict[str, torch.Tensor], alone: dict[str, torch.Tensor], told: str = "") -> None:
    """Raise unless two states are equal within rounding that gradients have gone through."""
    assert state.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(
            state[name],
            value,
            rtol=1e-4,
            atol=1e-5,
            msg=lambda said: f"{name} {told}: {said}",  # noqa: B023
        )
