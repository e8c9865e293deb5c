"""The Descript audio codec."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from codeword.tokenizers import InChunks, receptive_field
from codeword.workbench.pretrained.base import CodecOptions, SoundCodec

__all__ = ["DAC"]


class DAC(SoundCodec):
    """DAC, such as descript/dac_16khz; sounds are padded to whole steps, as by its processor."""

    model_class = "DacModel"
    whole_steps = True

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        options.refuse(self.model_class, "bandwidth")
        self.sample_rate, self.stride = int(model.config.sampling_rate), int(model.config.hop_length)
        self.codebooks = self._count(model.config.n_codebooks, model.config.n_codebooks)

    def compute_in_chunks(self, positions: int) -> None:
        model, width = self.model, int(self.model.config.hidden_size)
        sees = receptive_field(model.encoder, 1, self.stride, 1)
        model.encoder = InChunks(model.encoder, positions, self.stride, 1, sees)
        sees = receptive_field(model.decoder, width, 1, self.stride)
        model.decoder = InChunks(model.decoder, positions, 1, self.stride, sees)

    def _encode(self, sounds: Tensor) -> Tensor:
        codes: Tensor = self.model.encode(sounds, n_quantizers=self.codebooks).audio_codes
        return codes

    def _decode(self, codes: Tensor) -> Tensor:
        sounds: Tensor = self.model.decode(audio_codes=codes).audio_values
        return sounds[:, None]
