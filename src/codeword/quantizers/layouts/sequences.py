"""Layouts of sequences: pieces of channels, and blocks of channels by steps."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.base import Quantizer
from codeword.quantizers.layouts.base import Layout, all_in

__all__ = ["Blockwise", "Channelwise"]


class Channelwise(Layout):
    """Every channel by itself, cut into pieces of `split` steps: (batch, channels, length).

    `indices` are (batch, channels, length / split, ...), as those of quantizer-pytorch's channelwise quantizer.

    Args:
        quantizer: of `split` features; or, for more than one group, a Grouped of `groups` such ones: consecutive
            channels then form groups with a quantizer each.
        channels: how many.
        split: steps of a piece.
        groups: how many groups of channels, dividing `channels`.
        pad: pad lengths that `split` does not divide with masked zeros (then the last steps are zeros in the output),
            instead of raising an error.

    Raises:
        CodewordError: sizes that do not fit together, or a length that is refused.

    Examples:
        >>> import torch
        >>> from codeword import VectorQuantizer
        >>> quantizer = Channelwise(VectorQuantizer(4, 1024), channels=32, split=4).eval()
        >>> out = quantizer(torch.randn(1, 32, 80))
        >>> out.quantized.shape, out.indices.shape
        (torch.Size([1, 32, 80]), torch.Size([1, 32, 20]))
    """

    spec_name = "channelwise"

    def __init__(
        self, quantizer: Quantizer, channels: int, *, split: int = 1, groups: int = 1, pad: bool = False
    ) -> None:
        super().__init__(quantizer, channels, (split,), groups, split * groups, pad)
        self.split = split
        if groups > 1 and quantizer.index_shape[:1] != (groups,):
            raise CodewordError.of(
                f"a Grouped quantizer of {groups} groups", quantizer.spec, "write Grouped([...] of one each)"
            )
        self.index_shape = quantizer.index_shape[1:] if groups > 1 else quantizer.index_shape

    @classmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        return int(settings.get("split", 1) * settings.get("groups", 1))

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Of groups that differ the larger one's: an index is of any of them."""
        sizes, each = self.quantizer.codebook_sizes, math.prod(self.index_shape)
        return tuple(max(sizes[number::each]) for number in range(each))

    def to_pieces(self, x: Tensor) -> Tensor:
        # (batch, group, channel, piece, step)
        cut = x.unflatten(2, (-1, self.split)).unflatten(1, (self.groups, -1))
        return cut.permute(0, 2, 3, 1, 4).flatten(3)

    def from_pieces(self, pieces: Tensor) -> Tensor:
        return pieces.unflatten(3, (self.groups, -1)).permute(0, 3, 1, 2, 4).flatten(3).flatten(1, 2)

    def piece_mask(self, mask: Tensor) -> Tensor:
        return all_in(mask, 1, self.split)[:, None].expand(-1, self.features // self.groups, -1)

    def arrange(self, indices: Tensor) -> Tensor:
        return indices.movedim(3, 1).flatten(1, 2) if self.groups > 1 else indices

    def disarrange(self, indices: Tensor) -> Tensor:
        return indices.unflatten(1, (self.groups, -1)).movedim(1, 3) if self.groups > 1 else indices


class Blockwise(Layout):
    """Blocks of channels / groups channels by `split` steps, all with one quantizer: (batch, channels, length).

    A block is flattened channel by channel. `indices` are (batch, groups, length / split, ...).

    Args:
        quantizer: of channels / groups x split features.
        channels: how many.
        split: steps of a block.
        groups: how many groups of consecutive channels, dividing `channels`.
        pad: as for `Channelwise`.

    Raises:
        CodewordError: sizes that do not fit together, or a length that is refused.

    Examples:
        >>> import torch
        >>> from codeword import VectorQuantizer
        >>> quantizer = Blockwise(VectorQuantizer(32, 1024), channels=32, split=4, groups=4).eval()
        >>> quantizer(torch.randn(1, 32, 80)).indices.shape
        torch.Size([1, 4, 20])
    """

    spec_name = "blockwise"

    def __init__(
        self, quantizer: Quantizer, channels: int, *, split: int = 1, groups: int = 1, pad: bool = False
    ) -> None:
        super().__init__(quantizer, channels, (split,), groups, channels // max(groups, 1) * split, pad)
        self.split = split

    @classmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        return int(channels // max(settings.get("groups", 1), 1) * settings.get("split", 1))

    def to_pieces(self, x: Tensor) -> Tensor:
        # (batch, group, channel, piece, step)
        cut = x.unflatten(2, (-1, self.split)).unflatten(1, (self.groups, -1))
        return cut.transpose(2, 3).flatten(3)

    def from_pieces(self, pieces: Tensor) -> Tensor:
        return pieces.unflatten(3, (-1, self.split)).transpose(2, 3).flatten(3).flatten(1, 2)

    def piece_mask(self, mask: Tensor) -> Tensor:
        return all_in(mask, 1, self.split)[:, None].expand(-1, self.groups, -1)
