"""Measures of float32 sounds: (samples,), or (samples, 2), for which they are means over the channels."""

from __future__ import annotations

import math
import threading
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
import torch

from codeword.packages import load
from codeword.workbench.measuring.base import Measure
from codeword.workbench.modalities import Metric

__all__ = ["PESQ", "STFT", "STOI"]

EXTRA = "metrics"
NARROW, WIDE = 8000, 16000  # the rates of PESQ
WINDOWS, SMALLEST = (2048, 512), 1e-5
TOO_SHORT = 1e-5  # the value of pystoi for less than 30 frames of speech


class SoundMeasure(Measure):
    """A measure of a channel."""

    def of(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        if item.ndim == 1:
            return self.of_channel(item, reconstruction)
        pairs = zip(np.ascontiguousarray(item.T), np.ascontiguousarray(reconstruction.T), strict=True)
        return math.fsum(self.of_channel(*pair) for pair in pairs) / item.shape[1]

    @abstractmethod
    def of_channel(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        """Its value of (samples,); nan where it has none."""


class PESQ(SoundMeasure):
    """Perceptual quality of speech (MOS-LQO): wide band at 16 kHz, narrow band at 8 kHz for sounds of less.

    Other rates are resampled. The value of a sound without detected speech is nan.

    Source: ITU-T P.862, P.862.2; computed by the package pesq.
    """

    metric = Metric("pesq", "PESQ", 3)

    def __init__(self, sample_rate: int) -> None:
        self.package = load("pesq", EXTRA)
        self.given, self.rate = sample_rate, WIDE if sample_rate >= WIDE else NARROW

    def of_channel(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        mode = "wb" if self.rate == WIDE else "nb"
        first, second = (self._resampled(sound) for sound in (item, reconstruction))
        if not (first.any() and second.any()):  # the package would divide by 0
            return math.nan
        try:
            return float(self.package.pesq(self.rate, first, second, mode))
        except self.package.PesqError:  # no speech, or shorter than a quarter of a second
            return math.nan

    def _resampled(self, sound: np.ndarray) -> np.ndarray:
        if self.given == self.rate:
            return sound
        resampled: np.ndarray = load("soxr", "audio").resample(sound, self.given, self.rate)
        return resampled

    @property
    def facts(self) -> dict[str, Any]:
        return {"rate": self.rate, "band": "wide" if self.rate == WIDE else "narrow", **_version("pesq")}


class STOI(SoundMeasure):
    """Short-time objective intelligibility, 0 to 1; a sound of less than 30 frames of speech has no value.

    Source: Taal et al. 2011; computed by the package pystoi, which resamples to 10 kHz.
    """

    metric = Metric("stoi", "STOI", 4)

    def __init__(self, sample_rate: int) -> None:
        self.package, self.rate, self.lock = load("pystoi", EXTRA), sample_rate, threading.Lock()

    def of_channel(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        with self.lock, warnings.catch_warnings():  # filters belong to all threads
            warnings.filterwarnings("ignore", message="Not enough STFT frames")
            value = float(self.package.stoi(item, reconstruction, self.rate, extended=False))
        return math.nan if value == TOO_SHORT else value

    @property
    def facts(self) -> dict[str, Any]:
        return {"extended": False, **_version("pystoi")}


class STFT(SoundMeasure):
    """Distance of spectra, over windows w of 2048 and 512 samples, Hann, a quarter of w apart:

        sum_w  mean | |X| - |Y| |  +  mean | 2 log10 max(|X|, 1e-5) - 2 log10 max(|Y|, 1e-5) |

    Source: the multi-scale STFT loss of DAC, Kumar et al. 2023 (arXiv:2306.06546).
    """

    metric = Metric("stft", "STFT distance", 3, higher_is_better=False)

    def __init__(self, sample_rate: int) -> None:
        """Nothing depends on the rate."""

    def of_channel(self, item: np.ndarray, reconstruction: np.ndarray) -> float:
        pair = torch.from_numpy(np.stack([item, reconstruction])).double()
        total = 0.0
        for size in WINDOWS:
            window = torch.hann_window(size, dtype=torch.float64, device="cpu")
            spectra = torch.stft(
                pair, size, size // 4, window=window, pad_mode="constant", return_complex=True
            ).abs()
            levels = 2 * spectra.clamp_min(SMALLEST).log10()
            total += float((spectra[0] - spectra[1]).abs().mean() + (levels[0] - levels[1]).abs().mean())
        return total

    @property
    def facts(self) -> dict[str, Any]:
        return {"windows": list(WINDOWS), "hop": "a quarter", "least": SMALLEST}


def _version(package: str) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package)}
