"""The modality of sounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.quantizers import from_spec
from codeword.tokenizers import AudioTokenizer, Tokenizer
from codeword.workbench.audio import MelDistance, MelLoss, relative_error, si_sdr
from codeword.workbench.config import TrainConfig
from codeword.workbench.critic import Adversarial, Critic, stft_view
from codeword.workbench.data import IMAGE_SUFFIXES
from codeword.workbench.data.audio import SUFFIXES, SoundFiles, save_wav
from codeword.workbench.data.containers import CONTAINERS
from codeword.workbench.data.excerpts import Excerpts
from codeword.workbench.data.item_cache import arrays_of
from codeword.workbench.data.item_files import any_item
from codeword.workbench.modalities.base import Batches, Items, Metric, Modality, Panel, Source

__all__ = ["Sounds", "strides_of"]

LONGEST = 8  # of the strides of one convolution
MEL_WEIGHT = 0.03  # of a dB beside the logarithm of the relative error; see `_Objective`
DECIBELS = 10 / math.log(10)  # in a natural logarithm of powers
NOTHING = 1e-12  # power: a hundredth of the error of rounding to 16 bits
CLIPPED = 0.001  # share of samples at full scale from which a sound is called clipped
WINDOWS = (0.016, 0.064)  # seconds of the spectra that a discriminator sees
SHOWN = 4  # the most seconds that are drawn


class Sounds(Modality):
    """Speech, music and other sounds: float32 arrays (samples,), or (samples, 2) of `both`, full scale is -1 to 1.

    Args:
        sample_rate: samples per second.
        channels: of files of two channels: "mix", "both", "separate" or "mid-side".
    """

    kind = "audio"
    items = "sounds"
    metrics = (
        Metric("si_sdr", "SI-SDR dB", 2),
        Metric("bits_per_second", "bits/s", 0, higher_is_better=False),
        Metric("mel_distance", "mel dB", 2, higher_is_better=False),
    )
    drawn = "mel spectra of originals above those of reconstructions"
    suffix = ".wav"
    unused = {"shuffle_colours": False}  # noqa: RUF012  as in the base

    def __init__(self, sample_rate: int, channels: str = "mix") -> None:
        self.sample_rate, self.channels = sample_rate, channels
        self.mel = MelDistance(sample_rate)

    @classmethod
    def holds(cls, data: str) -> bool:
        if any_item(data, SUFFIXES, cls.items):
            return True
        # Videos beside photographs do not count as sounds.
        return any_item(data, CONTAINERS, cls.items) and not any_item(data, IMAGE_SUFFIXES, "pictures")

    @classmethod
    def of_data(cls, data: str, config: TrainConfig) -> Sounds:
        if config.sample_rate is None or config.sample_rate < 1000:
            got, remedy = f"{config.sample_rate}", "pass for example --sample-rate 16000"
            raise CodewordError.of("a sample_rate of at least 1000 for sounds", got, remedy)
        return cls(config.sample_rate, config.channels)

    @classmethod
    def of_tokenizer(cls, tokenizer: Any) -> Sounds:
        return cls(tokenizer.sample_rate, "both" if getattr(tokenizer, "stereo", False) else "mix")

    def stream(self, data: str, stride: int, names: Sequence[str] | None = None) -> SoundFiles:
        return SoundFiles(data, self.sample_rate, stride, names, self.channels)

    def source(self, data: str, config: TrainConfig) -> Source:
        """One sound in ten is held out."""
        return Source.of_files(partial(self.stream, data, config.stride))

    def batches(self, training: Items, config: TrainConfig) -> Batches:
        return Excerpts(arrays_of(training), config.size, config.batch, config.seed)

    def build(self, config: TrainConfig) -> AudioTokenizer:
        quantizer = from_spec(config.quantizer, features=config.features, dim=1)
        return AudioTokenizer(
            quantizer,
            sample_rate=self.sample_rate,
            width=config.width,
            strides=strides_of(config.stride),
            blocks=config.blocks,
            causal=config.causal,
        )

    def objective(self, tokenizer: Tokenizer, critic: Critic | None = None) -> nn.Module:
        return _Objective(tokenizer, self.sample_rate, critic)

    def critic(self, config: TrainConfig) -> Critic | None:
        if config.adversarial is None:
            return None
        views = [stft_view(round(self.sample_rate * seconds / 8) * 8) for seconds in WINDOWS]
        return Critic(views, 2, Adversarial.of(config.adversarial), seed=config.seed)

    def quality(self, error: float) -> float:
        return -error

    def to_batch(self, item: np.ndarray) -> Tensor:
        return torch.from_numpy(item).view(len(item), -1).mT[None]

    def true_size(self, item: np.ndarray) -> tuple[int, ...]:
        return (len(item),)

    def from_batch(self, batch: Tensor, size: Sequence[int] | None = None) -> np.ndarray:
        sound = batch[0].detach().cpu().float()
        if self.channels != "both":  # a codec of two channels took an item of one twice
            sound = sound.mean(0, keepdim=True)
        found: np.ndarray = (sound[0] if len(sound) == 1 else sound.mT).numpy()
        return found if size is None else found[: size[0]]

    def measure(
        self, item: np.ndarray, reconstruction: np.ndarray, bits: float, *, brief: bool = False
    ) -> dict[str, float]:
        """SI-SDR, bits a second, and the distance of the mel spectra; for two channels the mean."""
        pair = torch.from_numpy(item.T), torch.from_numpy(reconstruction.T)
        metrics = {
            "si_sdr": si_sdr(*pair, floor=NOTHING).mean().item(),
            "bits_per_second": bits * self.sample_rate / len(item),
        }
        return metrics if brief else metrics | {"mel_distance": self.mel(*pair).item()}

    def save(self, path: Path, item: np.ndarray) -> None:
        save_wav(path, item, self.sample_rate)

    def panels(self, name: str, item: np.ndarray, reconstruction: np.ndarray, bits: float) -> list[Panel]:
        """The mel spectra of both; of long ones the beginning."""
        ratio = self.measure(item, reconstruction, bits, brief=True)["si_sdr"]
        return [
            Panel(name, partial(self._show, item)),
            Panel(f"reconstruction: {ratio:.1f} dB", partial(self._show, reconstruction)),
        ]

    def position(self, config: TrainConfig) -> str:
        milliseconds = 1000 * config.stride / self.sample_rate
        return f"one step for {config.stride} samples of {self.sample_rate} a second ({milliseconds:g} ms)"

    def note(self, source: Source, config: TrainConfig) -> str | None:
        clipped = sum(_is_clipped(sound) for _, sound in source.training)
        if not clipped:
            return None
        return (
            f"{clipped} of them were cut off at full scale when they were recorded, and are learned like that"
        )

    def check(self, config: TrainConfig) -> None:
        super().check(config)
        strides_of(config.stride)
        if config.size < config.stride:
            remedy = "raise size"
            raise CodewordError.of(f"a size of at least the stride {config.stride}", f"{config.size}", remedy)

    def _show(self, sound: np.ndarray, axes: Any) -> None:
        sound = sound[: SHOWN * self.sample_rate]
        sound = sound if sound.ndim == 1 else sound.mean(1)
        levels = self.mel.levels(torch.from_numpy(sound))[0].numpy()
        seconds = len(sound) / self.sample_rate
        axes.imshow(
            levels, origin="lower", aspect="auto", vmin=-80, vmax=0, extent=(0, seconds, 0, len(levels))
        )
        axes.set_yticks([])
        axes.set_xlabel("seconds")


class _Objective(nn.Module):
    """ln of the relative error of the waveform, and a little of the mel spectra's distance in dB.

    The logarithm gives loud and quiet excerpts equal weight, as SI-SDR does, which is the metric; unlike SI-SDR it
    depends on the level. The mel spectra preserve parts that are too weak to affect the waveform: consonants, the upper
    bands.
    """

    def __init__(self, tokenizer: Tokenizer, sample_rate: int, critic: Critic | None) -> None:
        super().__init__()
        self.tokenizer, self.critic = tokenizer, critic
        self.mel = MelLoss(sample_rate).to(next(tokenizer.parameters()).device)

    def forward(self, sounds: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and minus the mean SI-SDR in dB."""
        out = self.tokenizer(sounds)
        reconstruction = out.reconstruction[..., : sounds.shape[-1]].float()
        with torch.autocast(sounds.device.type, enabled=False):  # quiet bands are below what fp16 can hold
            error = relative_error(sounds, reconstruction).mean() / DECIBELS
            loss = error + MEL_WEIGHT * self.mel(sounds, reconstruction) + out.quantized.loss
            if self.critic is not None:
                loss = loss + self.critic(sounds, reconstruction)
            return loss, -si_sdr(sounds, reconstruction.detach(), floor=1e-6).mean()


def strides_of(stride: int) -> tuple[int, ...]:
    """Factors of a stride, one for each convolution, the smallest first, none above 8.

    Raises:
        CodewordError: it is less than 2, or has a prime factor above 8.

    Examples:
        >>> strides_of(40), strides_of(320), strides_of(6)
        ((5, 8), (5, 8, 8), (6,))
    """
    strides, rest = list[int](), stride
    while rest > 1:
        divisor = next((divisor for divisor in range(LONGEST, 1, -1) if rest % divisor == 0), None)
        if divisor is None:
            break
        strides.append(divisor)
        rest //= divisor
    if rest != 1 or not strides:
        expected = "a stride from 2 whose prime factors are 2, 3, 5 or 7"
        raise CodewordError.of(expected, f"{stride}", "pass for example 40 or 320")
    return tuple(reversed(strides))


def _is_clipped(sound: np.ndarray) -> bool:
    return bool((abs(sound) > 0.9999).mean() > CLIPPED)
