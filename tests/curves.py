"""Five short trainings, from fixed data and seeds, each of another part of the library: what their losses are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import codeword
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import Source
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Trainer

__all__ = ["TRAININGS", "Training", "codebook", "network"]

Training = Callable[[], list[float]]
STEPS = 48
FEATURES = 16


def vectors(step: int, rows: int = 256) -> Tensor:
    """A batch around 96 centres that lie off the origin and drift, float32 (rows, 16)."""
    centres = np.random.default_rng(0).normal(3.0, 2.0, (96, FEATURES)) + 0.01 * step
    drawn = np.random.default_rng(1 + step)
    batch = centres[drawn.integers(len(centres), size=rows)] + drawn.normal(0.0, 0.5, (rows, FEATURES))
    return torch.tensor(batch, dtype=torch.float32)


def pictures() -> list[tuple[str, np.ndarray]]:
    """Three pictures of waves, uint8 (48, 56, 3)."""
    y, x, channel = np.meshgrid(np.arange(48), np.arange(56), np.arange(3), indexing="ij")
    waves = [np.sin(0.11 * (n + 1) * x + 0.07 * y * (channel + 1)) * np.cos(0.13 * y - n) for n in range(3)]
    return [(f"{n}.png", (127.5 + 120 * wave).astype(np.uint8)) for n, wave in enumerate(waves)]


def codebook(spec: str) -> list[float]:
    """The squared error of a quantizer that learns by itself, without a network."""
    torch.manual_seed(0)
    quantizer, losses = codeword.from_spec(spec, features=FEATURES), []
    for step in range(STEPS):
        x = vectors(step)
        losses.append(F.mse_loss(quantizer(x).quantized, x).item())
    return losses


def network(spec: str, inner: int) -> list[float]:
    """The whole loss of an autoencoder of two layers on each side, by AdamW."""
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=inner)
    encoder = nn.Sequential(nn.Linear(FEATURES, 32), nn.SiLU(), nn.Linear(32, inner))
    decoder = nn.Sequential(nn.Linear(inner, 32), nn.SiLU(), nn.Linear(32, FEATURES))
    model = nn.ModuleList([encoder, quantizer, decoder])
    optimizer = torch.optim.AdamW(codeword.parameter_groups(model, 3e-3))
    losses = []
    for step in range(STEPS):
        x = vectors(step)
        out = quantizer(encoder(x))
        loss = F.mse_loss(decoder(out.quantized), x) + out.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def command() -> list[float]:
    """The loss that `codeword train` logs, for its default quantizer on small crops, with its schedule."""
    settings = TrainConfig(steps=STEPS, batch=4, size=16, width=8, features=4, quantizer="vq32", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        run.create("waves", settings)
        trainer = Trainer(run, settings, Images(), Source.of(pictures(), []))
        trainer.fit()
    return [line["loss"] for line in trainer.lines if "loss" in line]


TRAININGS: dict[str, Training] = {
    "codebook": lambda: codebook("vq128"),
    "residual": lambda: codebook("rvq4x16"),
    "gradient": lambda: network("vq64,update=gradient,estimator=rotation,penalties=(codebook,commitment)", 8),
    "scalar": lambda: network("fsq8-5-5-5", 4),
    "command": command,
}
"""Each gives its loss at each step."""
