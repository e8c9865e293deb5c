"""The convolutional bricks of the audio tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codeword.tokenizers.causal import CausalConv1d, CausalConvTranspose1d

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

    def __init__(self, channels: int, dilation: int, causal: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Snake(channels),
            _conv(channels, channels, KERNEL, causal, dilation),
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

    def __init__(
        self, width: int, features: int, strides: Sequence[int], blocks: int, causal: bool = False
    ) -> None:
        layers: list[nn.Module] = []
        before = 1
        for level, stride in enumerate(strides):
            channels = width * 2**level
            layers += [Snake(before)] if level else []
            layers += [_shorter(before, channels, stride, causal), *_units(channels, blocks, causal)]
            before = channels
        super().__init__(*layers, Snake(before), _conv(before, features, 3, causal))


class AudioDecoder(nn.Sequential):
    """Features (batch, features, steps) to sounds (batch, 1, steps x product of the strides): the encoder's mirror."""

    def __init__(
        self, width: int, features: int, strides: Sequence[int], blocks: int, causal: bool = False
    ) -> None:
        channels = width * 2 ** (len(strides) - 1)
        layers: list[nn.Module] = [_conv(features, channels, KERNEL, causal)]
        for level in reversed(range(len(strides))):
            stride, after = strides[level], channels // 2 if level else 1
            layers += [*_units(channels, blocks, causal), Snake(channels)]
            layers += [_longer(channels, after, stride, causal)]
            channels = after
        super().__init__(*layers)


def _units(channels: int, blocks: int, causal: bool) -> list[nn.Module]:
    return [ResidualUnit(channels, DILATIONS[number % len(DILATIONS)], causal) for number in range(blocks)]


def _conv(before: int, after: int, kernel: int, causal: bool, dilation: int = 1) -> nn.Module:
    """A convolution that keeps the length."""
    if causal:
        return CausalConv1d(before, after, kernel, dilation=dilation)
    return nn.Conv1d(before, after, kernel, padding=kernel // 2 * dilation, dilation=dilation)


def _shorter(before: int, after: int, stride: int, causal: bool) -> nn.Module:
    """A strided convolution, twice as wide as its stride."""
    if causal:
        return CausalConv1d(before, after, 2 * stride, stride)
    # Of an odd stride the padding reaches one sample further on the left.
    return nn.Conv1d(before, after, 2 * stride, stride, (stride + 1) // 2)


def _longer(before: int, after: int, stride: int, causal: bool) -> nn.Module:
    """A transposed convolution, twice as wide as its stride."""
    if causal:
        return CausalConvTranspose1d(before, after, stride)
    return nn.ConvTranspose1d(before, after, 2 * stride, stride, (stride + 1) // 2, stride % 2)
