"""Mimi: a semantic codebook and a stack of acoustic ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from codeword.errors import CodewordError
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

    def _encode(self, sounds: Tensor) -> Tensor:
        codes: Tensor = self.model.encode(sounds, num_quantizers=self.codebooks).audio_codes
        return codes

    def _decode(self, codes: Tensor) -> Tensor:
        sounds: Tensor = self.model.decode(codes).audio_values
        return sounds
