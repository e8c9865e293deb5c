"""Mimi: a semantic codebook and a stack of acoustic ones."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.tokenizers import InChunks, ReceptiveField, receptive_field
from codeword.workbench.pretrained.base import CodecOptions, SoundCodec

__all__ = ["Mimi"]


class Mimi(SoundCodec):
    """Mimi, such as kyutai/mimi; its semantic codebooks come first and are always used."""

    model_class = "MimiModel"

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        options.refuse(self.model_class, "bandwidth")
        self.sample_rate, self.stride = int(model.config.sampling_rate), int(model.config.frame_size)
        self.codebooks = self._count(model.config.num_quantizers, model.config.num_quantizers)
        least = int(model.config.num_semantic_quantizers)
        if self.codebooks < least:
            expected = f"at least the {least} semantic codebooks of {name}"
            raise CodewordError.of(expected, f"{self.codebooks}", "pass another --codebooks")

    def compute_in_chunks(self, positions: int) -> None:
        config, encoder, decoder = self.model.config, self.model.encoder, self.model.decoder
        hop = math.prod(config.upsampling_ratios)
        positions *= self.stride // hop  # its networks have several frames for each step
        for half in (encoder.encoder_seanet, decoder.decoder_seanet):
            network = nn.Sequential(*half.layers)
            down = half is encoder.encoder_seanet
            channels, taken, given = (1, hop, 1) if down else (int(config.hidden_size), 1, hop)
            field = receptive_field(network, channels, taken, given)
            half.layers = nn.ModuleList([InChunks(network, positions, taken, given, field)])
        # Each layer sees a window that ends at its own frame.
        field = ReceptiveField(int(config.num_hidden_layers) * (int(config.sliding_window) - 1), 0)
        for half, name in ((encoder, "encoder_transformer"), (decoder, "decoder_transformer")):
            setattr(half, name, _Transformer(getattr(half, name), positions, field))

    def _encode(self, sounds: Tensor) -> Tensor:
        codes: Tensor = self.model.encode(sounds, num_quantizers=self.codebooks).audio_codes
        return codes

    def _decode(self, codes: Tensor) -> Tensor:
        sounds: Tensor = self.model.decode(codes).audio_values
        return sounds


class _Transformer(nn.Module):
    """One of its transformers, (batch, frames, features), in chunks."""

    def __init__(self, transformer: nn.Module, positions: int, field: ReceptiveField) -> None:
        super().__init__()
        self.chunked = InChunks(_ChannelsFirst(transformer), positions, 1, 1, field)

    def forward(self, states: Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.chunked(states.mT).mT, cache=None)


class _ChannelsFirst(nn.Module):
    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, states: Tensor) -> Tensor:
        found: Tensor = self.transformer(states.mT).last_hidden_state
        return found.mT
