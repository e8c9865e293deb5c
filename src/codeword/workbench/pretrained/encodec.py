"""EnCodec and X-Codec: residual stacks; the bandwidth sets the number of stages."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.tokenizers import InChunks, receptive_field
from codeword.workbench.pretrained.base import CodecOptions, SoundCodec
from codeword.workbench.pretrained.frames import Frames

__all__ = ["EnCodec", "XCodec"]


class _WithBandwidth(SoundCodec):
    usual: int
    """The default bandwidth of its own encode."""

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        options.refuse(self.model_class)
        self.stride = int(model.config.hop_length)
        counts = {float(width): self._stages(width) for width in model.config.target_bandwidths}
        if options.bandwidth is not None and options.bandwidth not in counts:
            expected = f"a bandwidth of {name} among {', '.join(f'{width:g}' for width in counts)}"
            raise CodewordError.of(expected, f"{options.bandwidth:g}", "pass one of these")
        usual = (
            float(model.config.target_bandwidths[self.usual])
            if options.bandwidth is None
            else options.bandwidth
        )
        self.codebooks = self._count(max(counts.values()), counts[usual])
        # A stack is searched stage by stage, so that the first codes of a higher bandwidth are those of a lower one.
        fitting = [width for width, count in sorted(counts.items()) if count >= self.codebooks]
        self.bandwidth = usual if options.codebooks is None else fitting[0]

    def _stages(self, bandwidth: float) -> int:
        wanted: int = self.model.quantizer.get_num_quantizers_for_bandwidth(bandwidth)
        return min(wanted, self.model.config.num_quantizers)


class EnCodec(_WithBandwidth):
    """EnCodec, such as facebook/encodec_24khz. The model of 48 kHz has two channels, and frames with a scale each.

    Its rows have the scale of a frame before the codes; see `Frames`. Sounds are padded to whole frames, as by its
    processor.
    """

    model_class = "EncodecModel"
    usual = 0

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        config = model.config
        self.sample_rate, self.stereo = int(config.sampling_rate), config.audio_channels == 2
        length = config.chunk_length
        bits = int(config.codebook_size).bit_length() - 1
        self.frames = Frames(
            *(self.codebooks, bits, bool(config.normalize), length, config.chunk_stride, self.stride)
        )

    @property
    def facts(self) -> dict[str, int]:
        return {**super().facts, **self.frames.facts}

    def compute_in_chunks(self, positions: int) -> None:
        if self.frames.length is not None:
            self.whole = "which works in frames by itself"
        elif self.frames.scaled:
            self.whole = "which scales a sound by its power as a whole"
        if self.frames.length is not None or self.frames.scaled:
            super().compute_in_chunks(positions)
        # Its LSTM depends on all earlier samples, but has only one frame for `stride` samples. So it runs over the
        # whole sound, and the layers at higher rates run in chunks.
        encoder, decoder = self.model.encoder, self.model.decoder
        place = _place_of_lstm(encoder.layers)
        down, rest = nn.Sequential(*encoder.layers[:place]), encoder.layers[place:]
        field = receptive_field(down, 2 if self.stereo else 1, self.stride, 1)
        encoder.layers = nn.ModuleList([InChunks(down, positions, self.stride, 1, field), *rest])
        place = _place_of_lstm(decoder.layers) + 1
        rest, up = decoder.layers[:place], nn.Sequential(*decoder.layers[place:])
        width = decoder.layers[0].conv.out_channels
        field = receptive_field(up, width, 1, self.stride)
        decoder.layers = nn.ModuleList([*rest, InChunks(up, positions, 1, self.stride, field)])

    def _encode(self, sounds: Tensor) -> Tensor:
        if self.stereo:
            sounds = sounds.expand(-1, 2, -1)
        found = self.model.encode(self.frames.pad(sounds), bandwidth=self.bandwidth)
        codes = found.audio_codes[:, :, : self.codebooks]
        return self.frames.join(codes, found.audio_scales, found.last_frame_pad_length)

    def _decode(self, codes: Tensor) -> Tensor:
        found, scales, missing = self.frames.split(codes)
        sounds: Tensor = self.model.decode(found, scales, last_frame_pad_length=missing).audio_values
        return sounds

    def _length(self, steps: int) -> int:
        return self.frames.samples_of(steps)


def _place_of_lstm(layers: nn.ModuleList) -> int:
    return next(
        place
        for place, layer in enumerate(layers)
        if any(isinstance(part, nn.LSTM) for part in layer.modules())
    )


class XCodec(_WithBandwidth):
    """X-Codec, such as hf-audio/xcodec-hubert-librispeech; sounds are padded to whole steps, as by its processor."""

    model_class = "XcodecModel"
    usual = -1
    whole = "whose semantic model sees the whole sound"
    whole_steps = True

    def __init__(self, model: Any, name: str, options: CodecOptions) -> None:
        super().__init__(model, name, options)
        self.sample_rate = int(model.config.sample_rate)

    def _encode(self, sounds: Tensor) -> Tensor:
        codes: Tensor = self.model.encode(sounds, bandwidth=self.bandwidth).audio_codes
        return codes

    def _decode(self, codes: Tensor) -> Tensor:
        sounds: Tensor = self.model.decode(codes).audio_values
        return sounds
