"""The base of all tokenizers: an encoder, a quantizer and a decoder that belong together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.models.freezing import Freezable
from codeword.quantizers import Quantized, Quantizer, from_spec
from codeword.quantizers.layouts import Layout
from codeword.quantizers.spec.in_full import spec_in_full
from codeword.tokenizers.custom import Networks, restore
from codeword.tokenizers.interface import TokenizerInterface
from codeword.tokenizers.tiles import joined_tiles, tiles_of

__all__ = ["Tokenizer", "TokenizerOutput"]


class TokenizerOutput(NamedTuple):
    """What a tokenizer returns for a batch."""

    reconstruction: Tensor
    """As the input, filled up to whole positions of the grid."""
    quantized: Quantized
    """The quantizer's own result; `quantized.loss` is the term to add to your loss."""


class Tokenizer(Freezable, TokenizerInterface):
    """Batches of one kind of data to grids of indices and back.

    No part may mix the items of a batch (no batch norm), so that the tokens of an item do not depend on the others. A
    subclass defines `pad`, `example` and `options`. `codeword.freeze` freezes all of it.

    Args:
        quantizer: any quantizer whose indices decode, with `dim=1`. With one of whole maps, such as a multiscale one,
            a position is a tile of as many features as a map has, so that inputs may have any size.
        encoder: inputs (batch, ...) to features (batch, quantizer.features, *grid).
        decoder: features to reconstructions.

    Raises:
        CodewordError: a quantizer that cannot serve.
    """

    networks: Mapping[str, Any] | None = None
    """What is written of an encoder and a decoder that are not the class's own; see `install`."""

    def __init__(self, quantizer: Quantizer, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        _check_quantizer(quantizer, len(self.grid))
        self.tile = quantizer.map_size[0] if quantizer.map_size else 1
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.quantizer.codebook_sizes

    @property
    def trailing_shape(self) -> tuple[int, ...]:
        return self.quantizer.index_shape

    @property
    def channels(self) -> int:
        """What the encoder gives and the decoder takes at each position."""
        return self.quantizer.features

    @property
    def dtype(self) -> torch.dtype:
        """That of the encoder's and the decoder's weights, or the quantizer's if they have none.

        Inputs are converted to it, and reconstructions have it.
        """
        for name, weight in self.named_parameters():  # of both or, in an exported half, of one
            if not name.startswith("quantizer.") and weight.is_floating_point():
                return weight.dtype
        return self.quantizer.dtype

    def forward(self, x: Tensor) -> TokenizerOutput:
        """Encode, quantize and decode, with gradients through the quantizer's estimator."""
        self.check_rest()
        features = self.encoder(self.pad(x))
        quantized = self._whole(self.quantizer(self._tiles(features)), features)
        return TokenizerOutput(self.decoder(quantized.quantized), quantized)

    def encode(self, x: Tensor) -> Tensor:
        features = self.encoder(self.pad(x))
        indices = self.quantizer.encode(self._tiles(features))
        return self._laid_out(indices, features)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self(x)
        return out.reconstruction, out.quantized.indices

    def decode(self, indices: Tensor) -> Tensor:
        self.check_rest()
        self._check_axes(indices)
        reconstruction: Tensor = self.decoder(self._features_of(indices))
        return reconstruction

    @abstractmethod
    def pad(self, x: Tensor) -> Tensor:
        """Inputs checked, in the dtype of the weights, and filled up to whole positions.

        It does the same to a target to compare with.
        """

    @abstractmethod
    def example(self) -> Tensor:
        """A small batch of two of odd sizes, on the CPU, to trace programs with."""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The constructor's arguments by name, without the quantizer, as plain values."""

    def config(self) -> dict[str, Any]:
        """Everything that `from_config` needs to build this tokenizer again, as plain values."""
        quantizer = {"quantizer": spec_in_full(self.quantizer), "features": self.quantizer.features}
        return quantizer | self.options() | ({"networks": self.networks} if self.networks else {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], networks: Networks | None = None) -> Self:
        """Build the tokenizer that `config` describes, with fresh weights.

        Args:
            networks: the maker of its encoder and decoder, if they are not the class's own.

        Raises:
            CodewordError: networks that are missing, others than the config names, or not wanted.
        """
        values = dict(config)
        own = values.pop("networks", None)
        quantizer = from_spec(values.pop("quantizer"), features=values.pop("features"), dim=1)
        tokenizer = cls(quantizer, **values)
        restore(tokenizer, own, networks)
        return tokenizer

    @property
    def least(self) -> int:
        return self.stride // self.tile

    def _tiles(self, features: Tensor) -> Tensor:
        return features if self.tile == 1 else tiles_of(features, self.tile)

    def _features_of(self, indices: Tensor) -> Tensor:
        """What the decoder takes: the quantizer's own features of indices on a grid."""
        if self.tile == 1:
            return self.quantizer.decode(indices, self.dtype)
        grid = indices.shape[1 : 1 + len(self.grid)]
        tiles = self.quantizer.decode(indices.flatten(0, len(self.grid)), self.dtype)
        return joined_tiles(tiles, indices.shape[0], grid)

    def _laid_out(self, indices: Tensor, features: Tensor) -> Tensor:
        """Indices of tiles on the grid of tiles."""
        if self.tile == 1:
            return indices
        grid = [side // self.tile for side in features.shape[2:]]
        return indices.view(features.shape[0], *grid, *indices.shape[1:])

    def _whole(self, quantized: Quantized, features: Tensor) -> Quantized:
        """What a quantizer made of tiles, as of the features that they were cut from."""
        if self.tile == 1:
            return quantized
        indices = self._laid_out(quantized.indices, features)
        grid = indices.shape[1 : 1 + len(self.grid)]
        whole = joined_tiles(quantized.quantized, features.shape[0], grid)
        return Quantized(whole, indices, quantized.loss, quantized.losses)

    def _check_axes(self, indices: Tensor) -> None:
        names = ("batch", *self.grid, *map(str, self.trailing_shape))
        if not isinstance(indices, Tensor) or indices.dim() != len(names):
            got = f"shape {tuple(indices.shape)}" if isinstance(indices, Tensor) else type(indices).__name__
            raise CodewordError.of(f"indices ({', '.join(names)})", got, "pass what encode returned")


def _check_quantizer(quantizer: Quantizer, axes: int) -> None:
    """Raise unless each position of a grid gets indices of its own, from which it can be decoded."""
    if isinstance(quantizer, Layout):
        remedy = "pass a quantizer of single vectors such as vq1024, and another stride for larger pieces"
        raise CodewordError.of(
            "a quantizer of single positions", f"{type(quantizer).__name__}, of pieces", remedy
        )
    for part in quantizer.modules():
        size = part.map_size if isinstance(part, Quantizer) else ()
        if size and (part is not quantizer or len(size) != axes or len(set(size)) != 1):
            got = f"{part.spec}, of whole maps of size {size}"
            remedy = "pass for example rvq4x256; as a layer it serves in models of your own"
            sides = f" or of maps with {axes} equal side{'s' * (axes > 1)}" if axes else ""
            raise CodewordError.of(f"a quantizer of single positions{sides}", got, remedy)
    if not quantizer.decodes:
        raise CodewordError.of(
            "a quantizer that decodes", f"{quantizer.spec}: {quantizer.no_decode}", "pass for example vq1024"
        )
    if quantizer.dim != 1:
        raise CodewordError.of(
            "a quantizer of features on axis 1 (dim=1)", f"dim={quantizer.dim}", "build it with dim=1"
        )
