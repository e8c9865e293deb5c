"""Tokenizers of items of different sizes: the padding of a batch does not affect the tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.tokenizers.base import Tokenizer, TokenizerOutput

__all__ = ["SizedTokenizer", "beyond"]

Sizes = Tensor | Sequence[int] | Sequence[Sequence[int]]


class SizedTokenizer(Tokenizer):
    """A tokenizer of items with sides, whose batches may hold items of several sizes.

    `sizes` has the size of each item of a batch, (batch, axes): height and width, or samples, which may also be
    (batch,). Each layer sees an item as if it were alone, with zeros behind its end. So its tokens are those that it
    has alone (up to rounding, as in any batch), the quantizer does not learn from the padding, indices beyond the last
    position are -1, and reconstructions are 0 beyond the size.
    """

    def forward(self, x: Tensor, sizes: Sizes | None = None) -> TokenizerOutput:
        """Encode, quantize and decode, with gradients through the quantizer's estimator.

        Raises:
            CodewordError: sizes of another shape, beyond the batch or below one position, or networks of your own,
                which are not told of them.
        """
        if sizes is None:
            return super().forward(x)
        self.check_rest()
        true = self._checked(sizes, x)
        features, outside = self._features(x, true)
        quantized = self.quantizer(features, ~outside)
        return TokenizerOutput(self._reconstruction(quantized.quantized, true), quantized)

    def encode(self, x: Tensor, sizes: Sizes | None = None) -> Tensor:
        """Indices (batch, *grid, *trailing_shape), int64, -1 beyond the size of an item. Changes no state."""
        if sizes is None:
            return super().encode(x)
        features, outside = self._features(x, self._checked(sizes, x))
        return self.quantizer.encode(features, ~outside)

    def decode(self, indices: Tensor, sizes: Sizes | None = None) -> Tensor:
        """Reconstructions (batch, ...) of indices (batch, *grid, *trailing_shape), 0 beyond the size of an item."""
        if sizes is None:
            return super().decode(indices)
        self.check_rest()
        self._check_axes(indices)
        grid = indices.shape[1 : 1 + len(self.grid)]
        true = self._check_sizes(sizes, len(indices), [side * self.stride for side in grid])
        return self._reconstruction(self.quantizer.decode(indices, self.dtype), true.to(indices.device))

    @abstractmethod
    def fill(self, x: Tensor, sizes: Tensor) -> Tensor:
        """A batch with what each item alone would be filled up with, beyond its size: int64 (batch, axes)."""

    def _features(self, x: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        positions = self._positions(sizes)
        features = _alone(self.encoder, self.pad(self.fill(x, sizes)), positions, self.stride)
        return features, beyond(positions, features.shape[2:])[:, 0]

    def _reconstruction(self, features: Tensor, sizes: Tensor) -> Tensor:
        whole = _alone(self.decoder, features, self._positions(sizes), 1)
        return whole.masked_fill(beyond(sizes, whole.shape[2:]), 0.0)

    def _positions(self, sizes: Tensor) -> Tensor:
        return (sizes + self.stride - 1) // self.stride

    def _checked(self, sizes: Sizes, x: Tensor) -> Tensor:
        sides = list(x.shape[2:]) if isinstance(x, Tensor) else []
        if len(sides) != len(self.grid):
            expected, got = f"a batch (batch, channels, {', '.join(self.grid)})", f"{len(sides)} sides"
            raise CodewordError.of(expected, got, "pass one")
        return self._check_sizes(sizes, len(x), sides).to(x.device)

    def _check_sizes(self, sizes: Sizes, items: int, sides: Sequence[int]) -> Tensor:
        if self.networks is not None:
            got = f"those of {self.networks['name']!r}"
            raise CodewordError.of("networks of codeword for sizes", got, "pass items one by one")
        if self.tile > 1:
            got = f"{self.quantizer.spec}, of whole maps"
            raise CodewordError.of("a quantizer of single positions for sizes", got, "pass items one by one")
        true = torch.as_tensor(sizes)
        if true.dim() == 1 and len(sides) == 1:
            true = true[:, None]
        if true.is_floating_point() or tuple(true.shape) != (items, len(sides)):
            expected = f"sizes as whole numbers ({items}, {len(sides)})"
            raise CodewordError.of(expected, f"{true.dtype} {tuple(true.shape)}", "pass that of each item")
        most = torch.tensor(sides, device=true.device)
        if not torch.compiler.is_compiling() and ((true < self.stride) | (true > most)).any():
            expected = f"sizes from the stride {self.stride} to those of the batch, {tuple(sides)}"
            raise CodewordError.of(
                expected, f"{true.tolist()}", "pass that of each item before it was filled up"
            )
        return true.long()


def beyond(counts: Tensor, sides: Sequence[int]) -> Tensor:
    """Which places of a grid lie behind the end of each item: bool (batch, 1, *sides).

    Args:
        counts: int64 (batch, axes): how many places an item has.
        sides: how many there are.

    Examples:
        >>> beyond(torch.tensor([[2], [3]]), [3])
        tensor([[[False, False,  True]],
        <BLANKLINE>
                [[False, False, False]]])
    """
    outside = torch.zeros(len(counts), 1, *sides, dtype=torch.bool, device=counts.device)
    for axis, side in enumerate(sides):
        here = torch.arange(side, device=counts.device) >= counts[:, axis, None]
        outside = outside | here.view(len(counts), 1, *[-1 if n == axis else 1 for n in range(len(sides))])
    return outside


def _alone(layers: nn.Module, x: Tensor, positions: Tensor, rate: int) -> Tensor:
    """What a stack of layers makes of each item as if it were alone in the batch: behind its end each layer sees zeros.

    A layer pads with zeros, and none but its last operation makes anything but zeros of zeros, so it is enough to
    clear what lies behind the end before each layer.

    Args:
        layers: of convolutions, each of which multiplies or divides the sides by a whole number.
        x: (batch, channels, *sides).
        positions: int64 (batch, axes), of an item.
        rate: places of `x` for a position, on each axis.
    """
    grid = x.shape[2] // rate
    for layer in layers.children():
        x = layer(x.masked_fill(beyond(positions * (x.shape[2] // grid), x.shape[2:]), 0.0))
    return x
