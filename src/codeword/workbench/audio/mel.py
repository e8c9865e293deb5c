"""Mel spectra: they describe what is heard, not the exact waveform."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["MelDistance", "MelLoss", "mel_bank"]

FLOOR = 1e-8
"""Power of a band that counts as silence, -80 dB of a full sine."""
RESOLUTIONS = ((0.008, 10), (0.032, 40), (0.128, 80))
"""Window lengths in seconds, and numbers of bands, of the training loss: from transients to single harmonics."""


def mel_bank(sample_rate: int, window: int, bands: int) -> Tensor:
    """Triangular filters at equal distances on the mel scale, from 0 to half the sample rate.

    mel(f) = 2595 log10(1 + f / 700), O'Shaughnessy 1987, as HTK has it; the peak of each filter is 1.

    Args:
        sample_rate: samples per second.
        window: samples of the Fourier transform.
        bands: how many filters.

    Returns:
        (bands, window // 2 + 1), float32.

    Examples:
        >>> mel_bank(8000, 256, 40).shape
        torch.Size([40, 129])
    """
    frequencies = torch.arange(window // 2 + 1, dtype=torch.float64, device="cpu") * sample_rate / window
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (
        10 ** (torch.linspace(0, highest, bands + 2, dtype=torch.float64, device="cpu") / 2595) - 1
    )
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
    return torch.minimum(rising, falling).clamp(min=0).float()


class MelDistance(nn.Module):
    """Mean absolute difference of mel spectra in dB.

    Power spectra of Hann windows of `seconds`, a quarter of that apart, with silence at both ends of the sound; summed
    in mel bands; with a floor of -80 dB of a full sine, so that silence has a level.

    Args:
        sample_rate: samples per second.
        seconds: of a window.
        bands: how many; fewer if the window is too short to separate them.

    Examples:
        >>> import torch
        >>> sound = torch.sin(torch.arange(4000) * 0.3)
        >>> distance = MelDistance(8000)
        >>> distance(sound, sound).item(), round(distance(sound, sound / 10).item(), 1) < 20
        (0.0, True)
    """

    bank: Tensor
    window: Tensor

    def __init__(self, sample_rate: int, seconds: float = 0.032, bands: int = 40) -> None:
        super().__init__()
        self.size = max(8, round(sample_rate * seconds / 8) * 8)
        bank = mel_bank(sample_rate, self.size, bands)
        self.register_buffer("bank", bank[bank.sum(1) > 0], persistent=False)
        self.register_buffer(
            "window", torch.hann_window(self.size, dtype=torch.float32, device="cpu"), persistent=False
        )

    def forward(self, reference: Tensor, estimate: Tensor) -> Tensor:
        """The distance of sounds (..., samples), one number for all."""
        return (self.levels(estimate) - self.levels(reference)).abs().mean()

    def levels(self, sounds: Tensor) -> Tensor:
        """The mel spectra of sounds (..., samples) in dB: (sounds, bands, windows)."""
        spectra = torch.stft(
            sounds.flatten(0, -2) if sounds.dim() > 1 else sounds[None],
            self.size,
            self.size // 4,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        power = (spectra.real.square() + spectra.imag.square()) * (16 / self.size**2)  # a full sine has 1
        return 10 * torch.log10(self.bank @ power + FLOOR)


class MelLoss(nn.Module):
    """The mean of mel distances at several resolutions in dB, to train by.

    Args:
        sample_rate: samples per second.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.distances = nn.ModuleList(
            MelDistance(sample_rate, seconds, bands) for seconds, bands in RESOLUTIONS
        )

    def forward(self, reference: Tensor, estimate: Tensor) -> Tensor:
        """The loss of sounds (..., samples), one number for all."""
        return torch.stack([distance(reference, estimate) for distance in self.distances]).mean()
