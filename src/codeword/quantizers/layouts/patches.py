"""The layout of pictures: patches."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.base import Quantizer
from codeword.quantizers.layouts.base import Layout, all_in

__all__ = ["Patches"]


class Patches(Layout):
    """Patches of all channels of a picture: (batch, channels, height, width).

    A patch is flattened channel by channel, row by row. `indices` are (batch, height / p, width / q, ...).

    Args:
        quantizer: of channels x p x q features.
        channels: how many.
        size: (p, q) of a patch.
        pad: pad sizes that the patches do not divide with masked zeros, instead of raising an error.

    Raises:
        CodewordError: sizes that do not fit together; without `pad`, a picture that the patches do not divide.

    Examples:
        >>> import torch
        >>> from codeword import VectorQuantizer
        >>> quantizer = Patches(VectorQuantizer(12, 64), channels=3, size=(2, 2)).eval()
        >>> quantizer(torch.randn(1, 3, 8, 6)).indices.shape
        torch.Size([1, 4, 3])
    """

    spec_name = "patches"

    def __init__(
        self, quantizer: Quantizer, channels: int, *, size: tuple[int, int] = (2, 2), pad: bool = False
    ) -> None:
        if not isinstance(size, tuple) or len(size) != 2:
            raise CodewordError.of("the (height, width) of a patch", repr(size), "write size=(2, 2)")
        super().__init__(quantizer, channels, size, 1, channels * size[0] * size[1], pad)

    @classmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        height, width = settings.get("size", (2, 2))
        return int(channels * height * width)

    def to_pieces(self, x: Tensor) -> Tensor:
        cut = x.unflatten(3, (-1, self.size[1])).unflatten(2, (-1, self.size[0]))
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3)  # batch, down, across, channel, row, column

    def from_pieces(self, pieces: Tensor) -> Tensor:
        cut = pieces.unflatten(3, (self.features, *self.size))
        return cut.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)

    def piece_mask(self, mask: Tensor) -> Tensor:
        return all_in(all_in(mask, 1, self.size[0]), 2, self.size[1])
