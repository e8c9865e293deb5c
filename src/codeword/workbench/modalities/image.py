"""The modality of pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.quantizers import from_spec
from codeword.tokenizers import ImageTokenizer, Tokenizer
from codeword.tokenizers.image import check_stride
from codeword.workbench.config import TrainConfig
from codeword.workbench.critic import Adversarial, Critic, detail_view
from codeword.workbench.data import (
    IMAGE_SUFFIXES,
    PHOTOS,
    Crops,
    PictureStream,
    held_out,
    save_png,
    to_image,
    to_tensor,
    training,
)
from codeword.workbench.data.item_cache import arrays_of, shapes_of
from codeword.workbench.data.item_files import any_item
from codeword.workbench.modalities.base import Batches, Items, Metric, Modality, Panel, Source
from codeword.workbench.modalities.jpeg import jpeg_within, psnr

__all__ = ["Images"]

SHOWN = 256  # the most pixels along a side that are drawn


class Images(Modality):
    """Photographs and other pictures: uint8 arrays (height, width, 3)."""

    kind = "image"
    items = "pictures"
    metrics = (
        Metric("psnr", "PSNR dB", 2),
        Metric("bits_per_pixel", "bits/pixel", 3, higher_is_better=False),
        Metric("jpeg_psnr", "JPEG dB", 2),
        Metric("jpeg_bits_per_pixel", "JPEG bits/pixel", 3, higher_is_better=False),
    )
    drawn = "originals above reconstructions and JPEGs of the same size"
    footnote = "no JPEG is that small: this is the smallest there is (quality 1)"
    dtype = "uint8"
    room = 2**16
    suffix = ".png"
    unused = {"sample_rate": None, "causal": False, "channels": "mix"}  # noqa: RUF012  as in the base

    @classmethod
    def holds(cls, data: str) -> bool:
        return data == PHOTOS or any_item(data, IMAGE_SUFFIXES, cls.items)

    @classmethod
    def of_data(cls, data: str, config: TrainConfig) -> Images:
        return cls()

    @classmethod
    def of_tokenizer(cls, tokenizer: ImageTokenizer) -> Images:
        return cls()

    def stream(self, data: str, stride: int, names: Sequence[str] | None = None) -> PictureStream:
        return PictureStream(data, stride, names)

    def source(self, data: str, config: TrainConfig) -> Source:
        """One picture in ten is held out; the built-in photographs have a fixed division."""
        if data == PHOTOS:
            return Source.of(training(), held_out())
        return Source.of_files(partial(PictureStream, data, config.stride))

    def batches(self, training: Items, config: TrainConfig) -> Batches:
        return Crops(
            arrays_of(training), config.size, config.batch, config.seed, shuffle=config.shuffle_colours
        )

    def build(self, config: TrainConfig) -> ImageTokenizer:
        quantizer = from_spec(config.quantizer, features=config.features, dim=1)
        tokenizer = ImageTokenizer(quantizer, width=config.width, stride=config.stride, blocks=config.blocks)
        if config.size % tokenizer.stride:
            expected = f"a size divisible by the {tokenizer.stride} pixels of a tile of {config.quantizer}"
            raise CodewordError.of(expected, f"{config.size}", "pass another --size")
        return tokenizer

    def objective(self, tokenizer: Tokenizer, critic: Critic | None = None) -> nn.Module:
        return _Objective(tokenizer, critic)

    def critic(self, config: TrainConfig) -> Critic | None:
        if config.adversarial is None:
            return None
        return Critic([detail_view], 3, Adversarial.of(config.adversarial), seed=config.seed)

    def quality(self, error: float) -> float:
        """PSNR in dB of a mean squared error between pictures of -1 to 1: 10 log10(2^2 / error)."""
        return 10 * math.log10(4 / max(error, 1e-12))

    def to_batch(self, item: np.ndarray) -> Tensor:
        return to_tensor(item)[None]

    def true_size(self, item: np.ndarray) -> tuple[int, ...]:
        return item.shape[:2]

    def from_batch(self, batch: Tensor, size: Sequence[int] | None = None) -> np.ndarray:
        image = to_image(batch[0])
        return image if size is None else image[: size[0], : size[1]]

    def measure(
        self, item: np.ndarray, reconstruction: np.ndarray, bits: float, *, brief: bool = False
    ) -> dict[str, float]:
        """PSNR and bits a pixel, of the reconstruction, and of the best JPEG of at most the same size."""
        pixels = item.shape[0] * item.shape[1]
        metrics = {"psnr": psnr(item, reconstruction), "bits_per_pixel": bits / pixels}
        if brief:
            return metrics
        jpeg, _ = jpeg_within(item, bits / 8)
        return metrics | {
            "jpeg_psnr": psnr(item, jpeg.image),
            "jpeg_bits_per_pixel": 8 * jpeg.size / pixels,
        }

    def save(self, path: Path, item: np.ndarray) -> None:
        save_png(path, item)

    def panels(self, name: str, item: np.ndarray, reconstruction: np.ndarray, bits: float) -> list[Panel]:
        """The picture, its reconstruction and the JPEG of the same size; of large ones the middle."""
        jpeg, fits = jpeg_within(item, bits / 8)
        kind = "JPEG of the same size" if fits else "smallest JPEG (larger)"
        return [
            Panel(name, partial(_show, item)),
            Panel(f"reconstruction: {psnr(item, reconstruction):.1f} dB", partial(_show, reconstruction)),
            Panel(f"{kind}: {psnr(item, jpeg.image):.1f} dB", partial(_show, jpeg.image)),
        ]

    def position(self, config: TrainConfig) -> str:
        return f"one position for {config.stride} x {config.stride} pixels"

    def starred(self, metrics: Mapping[str, float]) -> bool:
        return metrics.get("jpeg_bits_per_pixel", 0.0) > metrics["bits_per_pixel"]

    def note(self, source: Source, config: TrainConfig) -> str | None:
        small = sum(min(shape[:2]) < config.size for shape in shapes_of(source.training))
        if not small:
            return None
        return (
            f"{small} of them are smaller than the crops of {config.size} pixels and are enlarged to train on; "
            f"a smaller --size keeps them as they are"
        )

    def check(self, config: TrainConfig) -> None:
        super().check(config)
        check_stride(config.stride)
        if config.size % config.stride:
            below = config.size // config.stride * config.stride
            choices = [str(size) for size in (below, below + config.stride) if size]
            expected = f"a size divisible by the stride {config.stride}"
            raise CodewordError.of(expected, f"{config.size}", f"use {' or '.join(choices)}")


class _Objective(nn.Module):
    def __init__(self, tokenizer: Tokenizer, critic: Critic | None) -> None:
        super().__init__()
        self.tokenizer, self.critic = tokenizer, critic

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the mean squared error in it."""
        out = self.tokenizer(images)
        error = F.mse_loss(out.reconstruction.float(), images)
        loss = error + out.quantized.loss
        return (loss if self.critic is None else loss + self.critic(images, out.reconstruction)), error


def _show(image: np.ndarray, axes: Any) -> None:
    height, width = image.shape[:2]
    top, left = max(0, (height - SHOWN) // 2), max(0, (width - SHOWN) // 2)
    axes.imshow(image[top : top + SHOWN, left : left + SHOWN])
    axes.set_axis_off()
