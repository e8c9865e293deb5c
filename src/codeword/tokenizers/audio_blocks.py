"""The convolutional bricks of the audio tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["AudioDecoder", "AudioEncoder", "ResidualUnit", "Snake"]

DILATIONS = (1, 3, 9)  # as SoundStream's: three units see 81 positions
KERNEL = 7


class Snake(nn.Module):
    """x + sin(a x)^2 / a, with a learned `a` for each channel: an activation that can continue a period.

    Ziyin, Hartwig and Ueda 2020 (arXiv 2006.08195), equation 5; for sounds Kumar et al. 2023 (arXiv 2306.06546).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_a = nn.Parameter(torch.zeros(channels, 1))  # its exponential is above 0 whatever is learned

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation along axis 1 of (batch, channels, steps)."""
        a = self.log_a.exp()
        return x + (a * x).sin().square() / a


class ResidualUnit(nn.Module):
    """x + conv1(snake(conv7(snake(x)))), the conv of 7 dilated: keeps the shape (batch, channels, steps)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        padding = KERNEL // 2 * dilation
        self.layers = nn.Sequential(
            Snake(channels),
            nn.Conv1d(channels, channels, KERNEL, padding=padding, dilation=dilation),
            Snake(channels),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit."""
        return x + self.layers(x)


class AudioEncoder(nn.Sequential):
    """Sounds (batch, 1, samples) to features (batch, features, samples / product of the strides).

    At each stride a strided convolution, then the residual units: nothing is computed at the full rate but the first
    convolution. The channels are `width` after the first stride and double at each one.
    """

    def __init__(self, width: int, features: int, strides: Sequence[int], blocks: int) -> None:
        layers: list[nn.Module] = []
        before = 1
        for level, stride in enumerate(strides):
            channels = width * 2**level
            layers += [Snake(before)] if level else []
            # Twice as wide as its stride; of an odd stride the padding reaches one sample further on the left.
            padding = (stride + 1) // 2
            layers += [nn.Conv1d(before, channels, 2 * stride, stride, padding), *_units(channels, blocks)]
            before = channels
        super().__init__(*layers, Snake(before), nn.Conv1d(before, features, 3, padding=1))


class AudioDecoder(nn.Sequential):
    """Features (batch, features, steps) to sounds (batch, 1, steps x product of the strides): the encoder's mirror."""

    def __init__(self, width: int, features: int, strides: Sequence[int], blocks: int) -> None:
        channels = width * 2 ** (len(strides) - 1)
        layers: list[nn.Module] = [nn.Conv1d(features, channels, KERNEL, padding=KERNEL // 2)]
        for level in reversed(range(len(strides))):
            stride, after = strides[level], channels // 2 if level else 1
            layers += [*_units(channels, blocks), Snake(channels)]
            padding, rest = (stride + 1) // 2, stride % 2
            layers += [nn.ConvTranspose1d(channels, after, 2 * stride, stride, padding, rest)]
            channels = after
        super().__init__(*layers)


def _units(channels: int, blocks: int) -> list[nn.Module]:
    return [ResidualUnit(channels, DILATIONS[number % len(DILATIONS)]) for number in range(blocks)]
