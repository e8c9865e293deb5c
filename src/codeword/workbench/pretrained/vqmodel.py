"""The VQ model of diffusers: a VQGAN for pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.workbench.pretrained.base import Codec, CodecOptions

__all__ = ["VQModel"]


class VQModel(Codec):
    """VQModel of diffusers; sides are filled up to whole positions by repeating the last row and column."""

    kind = "image"
    unit = "pixels"
    grid = ("height", "width")
    library = "diffusers"
    model_class = "VQModel"

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        options.refuse(self.model_class, "codebooks", "bandwidth")
        if (model.config.in_channels, model.config.out_channels) != (3, 3):
            got = f"{name}: {model.config.in_channels} to {model.config.out_channels} channels"
            raise CodewordError.of("a model of pictures of three channels", got, "use another")
        self.stride = 2 ** (len(model.config.block_out_channels) - 1)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (int(self.model.config.num_vq_embeddings),)

    @property
    def trailing_shape(self) -> tuple[int, ...]:
        return ()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        bottom, right = (-side % self.stride for side in x.shape[-2:])
        latents = self.model.encode(F.pad(x, (0, right, 0, bottom), mode="replicate")).latents
        indices: Tensor = self.model.quantize(latents)[2][2]
        return indices.reshape(len(x), *latents.shape[-2:])

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        shape = (*indices.shape, self.model.quantize.vq_embed_dim)
        codes = self.model.quantize.get_codebook_entry(indices.reshape(-1), shape)
        sides = codes if self.model.config.norm_type == "spatial" else None
        pictures: Tensor = self.model.decoder(self.model.post_quant_conv(codes), sides)
        return pictures
