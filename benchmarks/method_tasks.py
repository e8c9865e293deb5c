"""What methods are compared on: fitting a codebook to clouds of vectors, and a small autoencoder of pictures."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import codeword
from benchmarks.peers import PEERS
from codeword import VectorQuantizer, methods
from codeword.functional import usage
from codeword.quantizers import BinaryMapper

__all__ = ["BUILDERS", "CLOUDS", "SCALES", "Setting", "autoencoder", "cost", "fit", "load_pictures"]

Build = Callable[..., nn.Module]


def binary_mapper(features: int, codes: int, *, dim: int = -1) -> BinaryMapper:
    return BinaryMapper(features, codes.bit_length() - 1, dim=dim, weight=0.01)


BUILDERS: dict[str, Build] = {
    "default": VectorQuantizer,
    **PEERS,
    **methods.METHODS,
    "learnable_gamma_personalize": lambda *sizes, **options: methods.learnable_gamma(
        *sizes, personalize=True, **options
    ),
    "binary_mapper": binary_mapper,
}

FEATURES, CODES, ROWS, STEPS = 8, 256, 1024, 600
SCALES = [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3]


def normal(step: int, rows: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, FEATURES, generator=generator)


def shifted(step: int, rows: int, generator: torch.Generator) -> Tensor:
    return normal(step, rows, generator) + 5


def drifting(step: int, rows: int, generator: torch.Generator) -> Tensor:
    return normal(step, rows, generator) + 5 * step / STEPS


def many_modes(step: int, rows: int, generator: torch.Generator) -> Tensor:
    modes = 10 * torch.randn(16, FEATURES, generator=torch.Generator().manual_seed(99))
    return modes[torch.randint(16, (rows,), generator=generator)] + normal(step, rows, generator)


CLOUDS = {cloud.__name__: cloud for cloud in (normal, shifted, drifting, many_modes)}


def fit(method: str, cloud: str, scale: float, seed: int) -> dict[str, float]:
    """Train the quantizer alone, as behind a frozen encoder; its error on fresh rows over their variance.

    What learns by gradient gets the squared error of the output as its task, and Adam at 0.01, whatever the scale.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    vq = BUILDERS[method](FEATURES, CODES)
    optimizer = torch.optim.Adam(vq.parameters(), 0.01) if list(vq.parameters()) else None
    for step in range(STEPS):
        x = scale * CLOUDS[cloud](step, ROWS, generator)
        out = vq(x)
        if optimizer is not None:
            optimizer.zero_grad()
            (F.mse_loss(out.quantized, x) + out.loss).backward()
            if isinstance(vq, codeword.Quantizer):
                codeword.models.reset_moments(optimizer, vq)
            optimizer.step()
    x = scale * CLOUDS[cloud](STEPS, 8192, generator)
    with torch.no_grad():
        out = vq.eval()(x)
    used = usage(out.indices, CODES)
    return {
        "error": float((out.quantized - x).square().mean() / (x - x.mean(0)).square().mean()),
        "used": float(used.used) / CODES,
        "perplexity": float(used.perplexity),
    }


def cost(
    method: str, rows: int = 4096, features: int = 32, codes: int = 1024, steps: int = 30
) -> dict[str, float]:
    """The median time of the processor in a training step of the quantizer alone, at the size of the autoencoder's."""
    torch.manual_seed(0)
    vq = BUILDERS[method](features, codes)
    times = []
    for _ in range(steps):
        x = torch.randn(rows, features, requires_grad=True)
        start = time.process_time()
        out = vq(x)
        (out.quantized.square().mean() + out.loss).backward()
        times.append(time.process_time() - start)
    return {"milliseconds": 1e3 * statistics.median(times)}


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Autoencoder(nn.Module):
    """Two strided convolutions to 64 channels, two residual blocks, and the mirror of it."""

    def __init__(self, vq: nn.Module, width: int = 64) -> None:
        super().__init__()
        down = [nn.Conv2d(3, width, 4, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 4, 2, 1)]
        self.encoder = nn.Sequential(
            *down, Residual(width), Residual(width), nn.Conv2d(width, vq.features, 1)
        )
        self.vq = vq
        up = [nn.ReLU(), nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU()]
        self.decoder = nn.Sequential(
            nn.Conv2d(vq.features, width, 1),
            Residual(width),
            Residual(width),
            *up,
            nn.ConvTranspose2d(width, 3, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, codeword.Quantized]:
        out = self.vq(self.encoder(x))
        return self.decoder(out.quantized), out


@dataclass(frozen=True)
class Setting:
    """How an autoencoder is trained.

    Attributes:
        features: of a position.
        width: channels of the encoder and the decoder.
        batch: pictures a step.
        learning_rate: of AdamW.
        falling: whether it falls to zero along half a cosine.
    """

    features: int = 32
    width: int = 64
    batch: int = 64
    learning_rate: float = 5e-4
    falling: bool = False


def autoencoder(
    method: str,
    pictures: tuple[Tensor, Tensor],
    steps: int,
    seed: int,
    codes: int = 1024,
    setting: Setting = Setting(),
    rows_per_code: int = 0,
) -> dict[str, float]:
    """Train an autoencoder of pictures; its peak signal-to-noise ratio on pictures that it has not seen.

    Uses are counted over these, or, with `rows_per_code`, over as many rows a code of these, of the training pictures,
    and of both mirrored, as far as they go: 16,384 codes cannot all occur in a few thousand rows.
    """
    train, test = pictures
    torch.manual_seed(seed)
    model = Autoencoder(BUILDERS[method](setting.features, codes, dim=1), setting.width)
    optimizer = torch.optim.AdamW(codeword.parameter_groups(model, setting.learning_rate))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2 if setting.falling else 1.0
    )
    generator = torch.Generator().manual_seed(seed + 10)
    start = time.process_time()
    for _ in range(steps):
        x = _scaled(train[torch.randint(len(train), (setting.batch,), generator=generator)])
        decoded, out = model(x)
        optimizer.zero_grad()
        (F.mse_loss(decoded, x) + out.loss).backward()
        if isinstance(model.vq, codeword.Quantizer):
            codeword.models.reset_moments(optimizer, model)
        optimizer.step()
        schedule.step()
    seconds = time.process_time() - start
    model.eval()
    errors, indices = zip(*(_tested(model, part) for part in test.split(50)), strict=True)
    wanted, indices = rows_per_code * codes, list(indices)
    for part in torch.cat([train, test.flip(-1), train.flip(-1)]).split(50):
        if sum(map(torch.numel, indices)) >= wanted:
            break
        with torch.no_grad():
            indices.append(model.vq(model.encoder(_scaled(part))).indices.flatten())
    used = usage(torch.cat(indices), codes)
    return {
        "psnr": float(-10 * torch.cat(errors).mean().log10()),
        "used": float(used.used) / codes,
        "perplexity": float(used.perplexity),
        "rows_counted": sum(map(torch.numel, indices)),
        "seconds": seconds,
    }


def _scaled(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


@torch.no_grad()
def _tested(model: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The squared errors of pictures, of a range of 1, and the indices of their positions."""
    x = _scaled(pictures)
    decoded, out = model(x)
    return (decoded.clamp(-1, 1) - x).div(2).square().mean((1, 2, 3)), out.indices.flatten()


def load_pictures(folder: Path) -> tuple[Tensor, Tensor]:
    """The pictures below `train` and `test` of a folder, all of one size: (N, 3, height, width), uint8."""
    from codeword.workbench.data import IMAGE_SUFFIXES, find_files, read_image

    parts = []
    for name in ("train", "test"):
        pictures = [
            torch.from_numpy(read_image(path))
            for path in find_files(folder / name, IMAGE_SUFFIXES, "pictures")
        ]
        parts.append(torch.stack(pictures).permute(0, 3, 1, 2).contiguous())
    return parts[0], parts[1]
