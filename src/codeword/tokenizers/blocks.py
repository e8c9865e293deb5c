"""The convolutional bricks of the image tokenizer."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Decoder", "Encoder", "ResidualBlock"]


class ResidualBlock(nn.Module):
    """x + conv1x1(act(conv3x3(act(x)))): keeps the shape (batch, width, height, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return x + self.layers(x)


class Encoder(nn.Sequential):
    """Images (batch, 3, H, W) to features (batch, features, H / stride, W / stride)."""

    def __init__(self, width: int, features: int, stride: int, blocks: int) -> None:
        halvings = stride.bit_length() - 1
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1)]
        for _ in range(halvings - 1):
            layers += [nn.SiLU(), nn.Conv2d(width, width, 4, stride=2, padding=1)]
        layers += [ResidualBlock(width) for _ in range(blocks)]
        layers += [nn.SiLU(), nn.Conv2d(width, features, 1)]
        super().__init__(*layers)


class Decoder(nn.Sequential):
    """Features (batch, features, h, w) to images (batch, 3, h * stride, w * stride): the encoder's mirror."""

    def __init__(self, width: int, features: int, stride: int, blocks: int) -> None:
        doublings = stride.bit_length() - 1
        layers: list[nn.Module] = [nn.Conv2d(features, width, 3, padding=1)]
        layers += [ResidualBlock(width) for _ in range(blocks)]
        for _ in range(doublings - 1):
            layers += [nn.SiLU(), nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)]
        layers += [nn.SiLU(), nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1)]
        super().__init__(*layers)
