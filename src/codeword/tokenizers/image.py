"""A small convolutional tokenizer for images: encoder, quantizer, decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.quantizers import Quantizer
from codeword.tokenizers.blocks import Decoder, Encoder
from codeword.tokenizers.inputs import check_range, to_float
from codeword.tokenizers.sized import SizedTokenizer
from codeword.torch_versions import is_exporting

__all__ = ["ImageTokenizer", "check_stride"]

SLACK = 0.01  # beyond the range, for what rounding in half precision and resizing leave


class ImageTokenizer(SizedTokenizer):
    """Images to a grid of code indices and back.

    The encoder is log2(stride) strided convolutions to `width` channels and `blocks` residual blocks; the decoder is
    its mirror. Nothing in it mixes the items of a batch (no batch norm), so the tokens of an image do not depend on the
    others. After van den Oord et al. 2017 (arXiv 1711.00937), section 4.1.

    Images are (batch, 3, height, width), float, -1 (black) to 1 (white), of any height and width from the
    stride up; uint8 of 0 to 255 become x / 127.5 - 1, and other floats the dtype of the weights, which
    reconstructions have too. A side that is no multiple of the stride is padded to the next one by repeating the
    last row or column, so reconstructions and decoded images are grid size x stride: up to stride - 1 pixels
    larger than what went in. `pad` does all of this to a target that you want to compare with.

    Images of different sizes can be in one batch: pad them at the bottom and right with any values, and pass their
    heights and widths in `sizes`. The tokens of an image are those that it has alone, and -1 beyond its last position.

    Args:
        quantizer: any quantizer whose indices decode, with `dim=1`; its `features` is the number of channels that it
            sees. With one of whole maps, such as a multiscale one of a last scale of 4 x 4, a position is a tile of 4 x
            4 features, and `stride`, as an attribute, 4 times as long.
        width: channels of the encoder and the decoder.
        stride: pixels per code along each side, a power of two from 2.
        blocks: residual blocks on each side.

    Raises:
        CodewordError: for a stride that is no power of two, a quantizer that cannot serve, an image that is
            smaller than the stride, has no three channels, or has numbers beyond -1 and 1 (by more than rounding).

    Examples:
        >>> import torch, codeword
        >>> from codeword.tokenizers import ImageTokenizer
        >>> tokenizer = ImageTokenizer(codeword.VectorQuantizer(8, 16, dim=1), width=16, stride=4).eval()
        >>> indices = tokenizer.encode(torch.zeros(2, 3, 30, 20))
        >>> tuple(indices.shape), tuple(tokenizer.decode(indices).shape)
        ((2, 8, 5), (2, 3, 32, 20))
        >>> sizes = [(30, 20), (12, 9)]
        >>> (tokenizer.encode(torch.zeros(2, 3, 30, 20), sizes)[1] >= 0).sum()
        tensor(9)
    """

    kind = "image"
    unit = "pixels"
    grid = ("height", "width")

    def __init__(self, quantizer: Quantizer, *, width: int = 64, stride: int = 4, blocks: int = 2) -> None:
        check_stride(stride)
        if width < 1 or blocks < 0:
            raise CodewordError.of(
                "width of at least 1 and blocks of at least 0",
                f"width={width}, blocks={blocks}",
                "raise them",
            )
        channels = quantizer.features
        encoder, decoder = (part(width, channels, stride, blocks) for part in (Encoder, Decoder))
        super().__init__(quantizer, encoder, decoder)
        self.width, self.stride, self.blocks = width, stride * self.tile, blocks

    def pad(self, images: Tensor) -> Tensor:
        """Images checked, as floats of -1 to 1, and extended to a multiple of the stride at the bottom and right."""
        images = self._to_range(images)
        if images.dim() != 4 or images.shape[1] != 3:
            raise CodewordError.of(
                "images of shape (batch, 3, height, width)",
                f"{tuple(images.shape)}",
                "move the channels to axis 1",
            )
        height, width = images.shape[-2:]
        if min(height, width) < self.least:
            raise CodewordError.of(
                f"an image of at least {self.least} x {self.least} pixels (one code covers so many)",
                f"{height} x {width}",
                "leave it out or enlarge it",
            )
        bottom, right = -height % self.stride, -width % self.stride
        if not (is_exporting() or bottom or right):  # a program for all sizes pads always
            return images
        return F.pad(images, (0, right, 0, bottom), mode="replicate")

    def fill(self, x: Tensor, sizes: Tensor) -> Tensor:
        for axis in (2, 3):  # the last row, then the last column, again and again
            places = torch.arange(x.shape[axis], device=x.device).minimum(sizes[:, axis - 2, None] - 1)
            shape = [len(x), 1, *[-1 if n == axis else 1 for n in (2, 3)]]
            x = x.gather(axis, places.view(shape).expand_as(x))
        return x

    def example(self) -> Tensor:
        return torch.zeros(2, 3, 2 * self.stride + 1, 3 * self.stride + 1, dtype=self.dtype, device="cpu")

    def options(self) -> dict[str, Any]:
        return {"width": self.width, "stride": self.least, "blocks": self.blocks}

    def _to_range(self, images: Tensor) -> Tensor:
        remedy = "pass uint8 of 0 to 255 as they are, floats of 0 to 255 as x / 127.5 - 1"
        images = to_float(images, self.dtype, {torch.uint8: (127.5, -1.0)}, remedy)
        check_range(images, 1 + SLACK, "pixels from -1 (black) to 1 (white)", remedy)
        return images


def check_stride(stride: int) -> None:
    """Raise unless strided convolutions that halve each side can make it."""
    if stride < 2 or stride & (stride - 1):
        raise CodewordError.of("a stride that is a power of two from 2", f"{stride}", "pass stride=4 or 8")
