"""A small convolutional tokenizer for images: encoder, quantizer, decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.quantizers import Quantized, Quantizer, from_spec
from codeword.quantizers.layouts import Layout
from codeword.quantizers.spec.in_full import spec_in_full
from codeword.tokenizers.blocks import Decoder, Encoder

__all__ = ["ImageTokenizer", "ImageTokenizerOutput"]


class ImageTokenizerOutput(NamedTuple):
    """What `ImageTokenizer` returns for a batch of images."""

    reconstruction: Tensor
    """(batch, 3, grid height * stride, grid width * stride), about -1 to 1."""
    quantized: Quantized
    """The quantizer's own result; `quantized.loss` is the term to add to your loss."""


class ImageTokenizer(nn.Module):
    """Images to a grid of code indices and back.

    The encoder is log2(stride) strided convolutions to `width` channels and `blocks` residual blocks; the
    decoder is its mirror. Nothing in it looks across the batch (no batch norm), so an image is encoded the
    same whatever is beside it. After van den Oord et al. 2017 (arXiv 1711.00937), section 4.1.

    Images are (batch, 3, height, width), float, -1 (black) to 1 (white), of any height and width from the
    stride up. A side that is no multiple of the stride is padded to the next one by repeating the last row or
    column, so reconstructions and decoded images are grid size x stride: up to stride - 1 pixels larger than
    what went in. `pad` does the same to a target that you want to compare with.

    Args:
        quantizer: any quantizer of single vectors whose indices decode, with `dim=1`; its `features` is the number
            of channels that it sees.
        width: channels of the encoder and the decoder.
        stride: pixels per code along each side, a power of two from 2.
        blocks: residual blocks on each side.

    Raises:
        CodewordError: for a stride that is no power of two, a quantizer that cannot serve, an image that is
            smaller than the stride or has no three channels.

    Example:
        >>> import torch, codeword
        >>> from codeword.tokenizers import ImageTokenizer
        >>> tokenizer = ImageTokenizer(codeword.VectorQuantizer(8, 16, dim=1), width=16, stride=4).eval()
        >>> indices = tokenizer.encode(torch.zeros(2, 3, 30, 20))
        >>> tuple(indices.shape), tuple(tokenizer.decode(indices).shape)
        ((2, 8, 5), (2, 3, 32, 20))
    """

    def __init__(self, quantizer: Quantizer, *, width: int = 64, stride: int = 4, blocks: int = 2) -> None:
        super().__init__()
        if stride < 2 or stride & (stride - 1):
            raise CodewordError.of(
                "a stride that is a power of two from 2", f"{stride}", "pass stride=4 or 8"
            )
        if width < 1 or blocks < 0:
            raise CodewordError.of(
                "width of at least 1 and blocks of at least 0",
                f"width={width}, blocks={blocks}",
                "raise them",
            )
        _check_quantizer(quantizer)
        self.width, self.stride, self.blocks = width, stride, blocks
        self.encoder = Encoder(width, quantizer.features, stride, blocks)
        self.quantizer = quantizer
        self.decoder = Decoder(width, quantizer.features, stride, blocks)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes there are for each index of a grid cell: one, or one for each stage, group or bit."""
        return self.quantizer.codebook_sizes

    @property
    def trailing_shape(self) -> tuple[int, ...]:
        """The axes of a grid's indices behind height and width: () for one index a cell."""
        return self.quantizer.index_shape

    @property
    def bits_per_cell(self) -> float:
        """The bits that the indices of one grid cell can tell: the sum of log2(codes)."""
        return sum(math.log2(size) for size in self.codebook_sizes)

    def forward(self, images: Tensor) -> ImageTokenizerOutput:
        """Encode, quantize and decode, with gradients through the quantizer's estimator."""
        quantized = self.quantizer(self.encoder(self.pad(images)))
        return ImageTokenizerOutput(self.decoder(quantized.quantized), quantized)

    def encode(self, images: Tensor) -> Tensor:
        """Indices (batch, ceil(height / stride), ceil(width / stride), *trailing_shape), int64. Changes no state."""
        return self.quantizer.encode(self.encoder(self.pad(images)))

    def decode(self, indices: Tensor) -> Tensor:
        """Images (batch, 3, grid height * stride, grid width * stride), about -1 to 1."""
        return self.decoder(self.quantizer.decode(indices))

    def pad(self, images: Tensor) -> Tensor:
        """Extend bottom and right to a multiple of the stride, repeating the last row and column."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise CodewordError.of(
                "images of shape (batch, 3, height, width)",
                f"{tuple(images.shape)}",
                "move the channels to axis 1",
            )
        height, width = images.shape[-2:]
        if min(height, width) < self.stride:
            raise CodewordError.of(
                f"an image of at least {self.stride} x {self.stride} pixels (one code covers so many)",
                f"{height} x {width}",
                "leave it out or enlarge it",
            )
        bottom, right = -height % self.stride, -width % self.stride
        if not (torch.compiler.is_exporting() or bottom or right):  # a program for all sizes pads always
            return images
        return F.pad(images, (0, right, 0, bottom), mode="replicate")

    def config(self) -> dict[str, Any]:
        """Everything that `from_config` needs to build this tokenizer again, as plain values."""
        return {
            "quantizer": spec_in_full(self.quantizer),
            "features": self.quantizer.features,
            "width": self.width,
            "stride": self.stride,
            "blocks": self.blocks,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ImageTokenizer:
        """Build the tokenizer that `config` describes, with fresh weights."""
        values = dict(config)
        quantizer = from_spec(values.pop("quantizer"), features=values.pop("features"), dim=1)
        return cls(quantizer, **values)


def _check_quantizer(quantizer: Quantizer) -> None:
    """Raise unless each cell of a grid gets indices of its own, from which it can be decoded."""
    if isinstance(quantizer, Layout):
        remedy = "pass a quantizer of single vectors such as vq1024, and another stride for larger cells"
        raise CodewordError.of("a quantizer of grid cells", f"{type(quantizer).__name__}, of pieces", remedy)
    if not quantizer.decodes:
        raise CodewordError.of(
            "a quantizer that decodes", f"{quantizer.spec}: {quantizer.no_decode}", "pass for example vq1024"
        )
    if quantizer.dim not in (1, -3):
        raise CodewordError.of(
            "a quantizer of channel-first images (dim=1)", f"dim={quantizer.dim}", "build it with dim=1"
        )
