"""X-Codec 2 and NeuCodec: one codebook over the sound and over semantic features of it."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from codeword.packages import load
from codeword.workbench.pretrained.base import CodecOptions, SoundCodec

__all__ = ["NeuCodec", "XCodec2"]


class XCodec2(SoundCodec):
    """X-Codec 2, such as HKUSTAudio/xcodec2-hf; its own extractor makes the features (package torchaudio)."""

    model_class = "Xcodec2Model"
    whole = "whose semantic features are normalised over the whole sound"
    extractor_class: ClassVar[str] = "Xcodec2FeatureExtractor"

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        options.refuse(self.model_class, "codebooks", "bandwidth")
        load("torchaudio", "codecs")
        config = model.config
        self.sample_rate, self.codebooks = self._rate(config), 1
        self.stride = math.prod(config.downsampling_ratios)
        extractor = getattr(load("transformers", "codecs"), self.extractor_class)
        self.extractor = extractor(sampling_rate=self.sample_rate, hop_length=self.stride)

    @staticmethod
    def _rate(config: Any) -> int:
        return int(config.sampling_rate)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (math.prod(self.model.config.quantization_levels),)

    def _encode(self, sounds: Tensor) -> Tensor:
        # One by one, because the extractor normalises each over its own length.
        return torch.cat([self._encode_one(sound) for sound in sounds])

    def _encode_one(self, sound: Tensor) -> Tensor:
        features = self.extractor(
            sound[0].cpu(), sampling_rate=self.sample_rate, return_tensors="pt", device="cpu"
        ).to(sound.device)
        codes: Tensor = self.model.encode(**features).audio_codes
        return codes.long()

    def _decode(self, codes: Tensor) -> Tensor:
        sounds: Tensor = self.model.decode(audio_codes=codes).audio_values
        return sounds


class NeuCodec(XCodec2):
    """NeuCodec, such as neuphonic/neucodec. It reads 16 kHz and decodes to 24 kHz, which is resampled to 16 kHz."""

    model_class = "NeuCodecModel"
    extractor_class = "NeuCodecFeatureExtractor"

    @staticmethod
    def _rate(config: Any) -> int:
        return int(config.input_sampling_rate)

    def decode(self, indices: Tensor) -> Tensor:
        # Its two encoders may differ by one step at the end, and the shorter one counts. So a step of silence is added,
        # and the decoded sound is never shorter than the input.
        return F.pad(super().decode(indices), (0, self.stride))

    def _decode(self, codes: Tensor) -> Tensor:
        resample = load("torchaudio.functional", "codecs").resample
        rate = self.model.config.output_sampling_rate
        sounds: Tensor = resample(super()._decode(codes), rate, self.sample_rate)
        return sounds
