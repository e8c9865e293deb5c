"""A small convolutional tokenizer for sounds: encoder, quantizer, decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.quantizers import Quantizer
from codeword.tokenizers.audio_blocks import AudioDecoder, AudioEncoder
from codeword.tokenizers.inputs import check_range, to_float
from codeword.tokenizers.sized import SizedTokenizer, beyond
from codeword.tokenizers.streaming import State, matches, stream
from codeword.torch_versions import is_exporting

__all__ = ["AudioTokenizer"]

LOUDEST = (
    10.0  # 20 dB above full scale, which mixing may reach; whole numbers of 16 bits do not stay below it
)


class AudioTokenizer(SizedTokenizer):
    """Sounds to a row of code indices and back.

    The encoder is a strided convolution and `blocks` dilated residual units for each of `strides`, with Snake
    activations; the decoder is its mirror. Nothing in it looks across the batch (no batch norm), so a sound is
    encoded the same whatever is beside it. After SoundStream, Zeghidour et al. 2021 (arXiv 2107.03312), section
    III, but that nothing is computed at the full rate.

    Sounds are (batch, 1, samples), float, -1 to 1, of any length from one step up: a step is as many samples as the
    product of the strides, `stride`. int16 become x / 32768, and other floats the dtype of the weights, which
    reconstructions have too. A length that is no multiple of it is filled up with silence, so reconstructions
    and decoded sounds are steps x stride: up to stride - 1 samples longer than what went in. `pad` does all of
    this to a target that you want to compare with.

    Sounds of different lengths can be in one batch: pad them with any values, and pass their lengths in `sizes`. The
    tokens of a sound are those that it has alone, and -1 behind its end.

    Args:
        quantizer: any quantizer whose indices decode, with `dim=1`; its `features` is the number of channels that it
            sees. With one of whole sequences, such as a multiscale one of a last scale of 4, a step is as many of the
            encoder's.
        sample_rate: samples per second of the sounds; only stored, for those who decode.
        width: channels after the first stride; they double at each stride.
        strides: how much shorter each convolution makes a sound, each from 2 up.
        blocks: residual units at each stride on each side, of dilations 1, 3, 9, 1, ...
        causal: whether all convolutions see what came before and nothing later, so that a sound can be encoded and
            decoded while it comes: `encode_stream`, `decode_stream`.

    Raises:
        CodewordError: numbers that are too small, a quantizer that cannot serve, a sound that is shorter than a step,
            has not one channel, or is ten times louder than full scale.

    Examples:
        >>> import torch, codeword
        >>> from codeword.tokenizers import AudioTokenizer
        >>> quantizer = codeword.from_spec("rvq3x64", features=8, dim=1)
        >>> tokenizer = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=(5, 8)).eval()
        >>> indices = tokenizer.encode(torch.zeros(2, 1, 1999))
        >>> tuple(indices.shape), tuple(tokenizer.decode(indices).shape)
        ((2, 50, 3), (2, 1, 2000))
        >>> tokenizer.bits_per_second
        3600.0
        >>> (tokenizer.encode(torch.zeros(2, 1, 1999), sizes=[1999, 90])[1] >= 0).sum(0)
        tensor([3, 3, 3])
    """

    kind = "audio"
    unit = "samples"
    grid = ("steps",)

    def __init__(
        self,
        quantizer: Quantizer,
        *,
        sample_rate: int,
        width: int = 32,
        strides: Sequence[int] = (5, 8),
        blocks: int = 2,
        causal: bool = False,
    ) -> None:
        _check(sample_rate, width, strides, blocks)
        channels = quantizer.features
        encoder, decoder = (
            part(width, channels, strides, blocks, causal) for part in (AudioEncoder, AudioDecoder)
        )
        super().__init__(quantizer, encoder, decoder)
        self.sample_rate, self.width, self.strides, self.blocks = sample_rate, width, tuple(strides), blocks
        self.causal = causal
        self.stride = math.prod(self.strides) * self.tile

    @property
    def bits_per_second(self) -> float:
        """The bits that the indices of a second of sound can tell."""
        return self.bits_per_position * self.sample_rate / self.stride

    @property
    def facts(self) -> dict[str, int]:
        return {**super().facts, "sample_rate": self.sample_rate}

    def encode_stream(self, sounds: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encode the next piece of sounds that come piece by piece, with a causal tokenizer.

        All pieces together have the tokens of the whole, but for rounding.

        Args:
            sounds: (batch, 1, samples), whole steps; the last piece may be longer by a part of one, which is filled up.
            state: what the piece before returned; None: this is the first.

        Returns:
            Indices (batch, steps, *trailing_shape), int64, and the state for the next piece. A state is never changed:
            from one state one may go on twice.

        Raises:
            CodewordError: the tokenizer is not causal, or the state is not one of it and of as many sounds.

        Examples:
            >>> import torch, codeword
            >>> quantizer = codeword.from_spec("fsq8-5-5-5", features=4, dim=1)
            >>> tokenizer = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=(5, 8), causal=True).eval()
            >>> sounds, state, parts = torch.rand(1, 1, 2000), None, []
            >>> for piece in sounds.split(400, -1):
            ...     indices, state = tokenizer.encode_stream(piece, state)
            ...     parts.append(indices)
            >>> torch.cat(parts, 1).equal(tokenizer.encode(sounds))
            True
        """
        x = self.pad(sounds)
        features, state = self._streamed(self.encoder, x, state)
        return self._laid_out(self.quantizer.encode(self._tiles(features)), features), state

    def decode_stream(self, indices: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Decode the next piece of indices: the sound of these steps, and the state for the next piece.

        Args:
            indices: (batch, steps, *trailing_shape).
            state: what the piece before returned; None: this is the first.

        Raises:
            CodewordError: as `encode_stream`.
        """
        self.check_rest()
        self._check_axes(indices)
        return self._streamed(self.decoder, self._features_of(indices), state)

    def pad(self, sounds: Tensor) -> Tensor:
        """Sounds checked, as floats, and extended at the end to a multiple of the stride, with silence."""
        remedy = "pass int16 as it is, floats with full scale from -1 to 1"
        sounds = to_float(sounds, self.dtype, {torch.int16: (32768.0, 0.0)}, remedy)
        check_range(sounds, LOUDEST, "a sound with full scale from -1 to 1", remedy)
        if sounds.dim() != 3 or sounds.shape[1] != 1:
            expected, got = "sounds of shape (batch, 1, samples)", f"{tuple(sounds.shape)}"
            raise CodewordError.of(expected, got, "mix the channels down to one, on axis 1")
        samples = sounds.shape[-1]
        if samples < self.least:
            expected = f"a sound of at least {self.least} samples (one step covers so many)"
            raise CodewordError.of(expected, f"{samples}", "leave it out or make it longer")
        missing = -samples % self.stride
        if not (is_exporting() or missing):  # a program for all lengths pads always
            return sounds
        return F.pad(sounds, (0, missing))

    def fill(self, x: Tensor, sizes: Tensor) -> Tensor:
        return x.masked_fill(beyond(sizes, x.shape[2:]), 0)

    def example(self) -> Tensor:
        return torch.zeros(2, 1, 3 * self.stride + 1, dtype=self.dtype, device="cpu")

    def options(self) -> dict[str, Any]:
        sizes = {"width": self.width, "strides": list(self.strides), "blocks": self.blocks}
        return {"sample_rate": self.sample_rate, **sizes, "causal": self.causal}

    def _streamed(self, network: Any, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        if not self.causal or self.networks is not None:
            got = "one with networks of your own" if self.networks else "one that sees what comes later"
            raise CodewordError.of("a causal tokenizer for streams", got, "build it with causal=True")
        if state is not None and not matches(state, network, len(x)):
            expected = f"the state of {len(x)} sounds of this {type(network).__name__}"
            raise CodewordError.of(
                expected, "another", "pass what the piece before returned, or None at first"
            )
        return stream(network, x, state)


def _check(sample_rate: int, width: int, strides: Sequence[int], blocks: int) -> None:
    if not strides or min(strides) < 2:
        got = f"{tuple(strides)}"
        raise CodewordError.of("strides of at least 2, at least one", got, "pass for example strides=(5, 8)")
    for name, value, least in (("sample_rate", sample_rate, 1), ("width", width, 1), ("blocks", blocks, 0)):
        if value < least:
            raise CodewordError.of(f"{name} of at least {least}", f"{value}", f"raise {name}")
