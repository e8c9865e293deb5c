"""Codecs of pictures: the VQ model of diffusers, and those of Chameleon, Emu3 and Janus in transformers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.workbench.pretrained.base import Codec, CodecOptions

__all__ = ["Chameleon", "Emu3", "Janus", "PictureCodec", "VQModel"]


class PictureCodec(Codec):
    """A VQGAN for pictures. Sides are padded to whole positions by repeating the last row and column.

    Pictures are (batch, 3, height, width) within -1 to 1. Indices are (batch, height, width). Each model has a subclass
    with the rest.
    """

    kind = "image"
    unit = "pixels"
    grid = ("height", "width")

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        options.refuse(self.model_class, "codebooks", "bandwidth")
        config = model.config
        channels = config.in_channels, getattr(config, "out_channels", 3)
        if channels != (3, 3):
            got = f"{name}: {channels[0]} to {channels[1]} channels"
            raise CodewordError.of("a model of pictures of three channels", got, "use another")
        self.stride = 2 ** (len(self._resolutions(config)) - 1)

    def _resolutions(self, config: Any) -> Any:
        """A list with one entry for each resolution of its encoder."""
        return config.channel_multiplier

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (len(self.model.quantize.embedding.weight),)

    @property
    def trailing_shape(self) -> tuple[int, ...]:
        return ()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        bottom, right = (-side % self.stride for side in x.shape[-2:])
        filled = F.pad(x, (0, right, 0, bottom), mode="replicate")
        return self._encode(filled).reshape(len(x), *(side // self.stride for side in filled.shape[-2:]))

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        return self._decode(indices)

    def _encode(self, pictures: Tensor) -> Tensor:
        """Indices of any shape, picture by picture and row by row."""
        tokens: Tensor = self.model.encode(pictures).image_tokens
        return tokens

    @abstractmethod
    def _decode(self, indices: Tensor) -> Tensor: ...


class VQModel(PictureCodec):
    """VQModel of diffusers."""

    library = "diffusers"
    model_class = "VQModel"

    def _resolutions(self, config: Any) -> Any:
        return config.block_out_channels

    def _encode(self, pictures: Tensor) -> Tensor:
        indices: Tensor = self.model.quantize(self.model.encode(pictures).latents)[2][2]
        return indices

    def _decode(self, indices: Tensor) -> Tensor:
        shape = (*indices.shape, self.model.quantize.vq_embed_dim)
        codes = self.model.quantize.get_codebook_entry(indices.reshape(-1), shape)
        sides = codes if self.model.config.norm_type == "spatial" else None
        pictures: Tensor = self.model.decoder(self.model.post_quant_conv(codes), sides)
        return pictures


class Chameleon(PictureCodec):
    """The VQVAE of Chameleon. transformers has only its encoder, so it cannot decode."""

    model_class = "ChameleonVQVAE"

    def _decode(self, indices: Tensor) -> Tensor:
        expected, got = (
            "a model that decodes",
            f"{self.name}: transformers has no decoder of {self.model_class}",
        )
        raise CodewordError.of(expected, got, "only encode with it")


class Emu3(PictureCodec):
    """The VQVAE of Emu3, of pictures."""

    model_class = "Emu3VQVAE"

    def _encode(self, pictures: Tensor) -> Tensor:
        sizes = torch.tensor([pictures.shape[-2:]] * len(pictures), dtype=torch.int64, device="cpu")
        return torch.stack(list(self.model.encode(pictures, sizes).image_tokens))

    def _decode(self, indices: Tensor) -> Tensor:
        pictures: Tensor = self.model.decode(indices)
        return pictures


class Janus(PictureCodec):
    """The VQVAE of Janus: the search uses codes as stored, decoding uses them at unit length; pictures of any size."""

    model_class = "JanusVQVAE"

    def _decode(self, indices: Tensor) -> Tensor:
        codes = F.normalize(self.model.quantize.embedding(indices), dim=-1).movedim(-1, 1)
        pictures: Tensor = self.model.decoder(self.model.post_quant_conv(codes))
        return pictures
