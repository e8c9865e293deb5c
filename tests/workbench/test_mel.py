"""Errors of sounds, against the formulas in NumPy's float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from codeword.errors import CodewordError
from codeword.workbench.audio import MelDistance, MelLoss, mel_bank, relative_error, si_sdr


def sounds(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, shape)


def bank_by_formula(sample_rate: int, window: int, bands: int) -> np.ndarray:
    """Each value by itself, in loops, from the corners of its triangle."""
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    corners = [700 * (10 ** (highest * i / (bands + 1) / 2595) - 1) for i in range(bands + 2)]
    bank = np.zeros((bands, window // 2 + 1))
    for band, (low, peak, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        for place in range(window // 2 + 1):
            frequency = place * sample_rate / window
            if low < frequency <= peak:
                bank[band, place] = (frequency - low) / (peak - low)
            elif peak < frequency < high:
                bank[band, place] = (high - frequency) / (high - peak)
    return bank


def levels_by_formula(sound: np.ndarray, sample_rate: int, window: int, bands: int) -> np.ndarray:
    """Mel levels in dB: (bands, windows)."""
    padded = np.pad(sound, window // 2)
    weights = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    starts = range(0, len(padded) - window + 1, window // 4)
    spectra = np.stack([np.fft.rfft(weights * padded[at : at + window]) for at in starts], axis=1)
    power = np.abs(spectra) ** 2 * 16 / window**2
    return 10 * np.log10(bank_by_formula(sample_rate, window, bands) @ power + 1e-8)


@pytest.mark.parametrize(
    ("sample_rate", "window", "bands"), [(8000, 256, 40), (22050, 704, 33), (16000, 50, 7)]
)
def test_the_bank_is_its_formula(sample_rate: int, window: int, bands: int) -> None:
    expected = bank_by_formula(sample_rate, window, bands)
    assert np.allclose(mel_bank(sample_rate, window, bands).numpy(), expected, atol=1e-6)


def test_the_bands_hand_over_to_each_other() -> None:
    """Between the first peak and the last one neighbours add up to 1."""
    bank = mel_bank(8000, 256, 20).double().numpy()
    peaks = bank.argmax(1)
    assert (np.diff(peaks) >= 1).all()
    assert np.allclose(bank.sum(0)[peaks[0] + 1 : peaks[-1]], 1, atol=1e-6)


@pytest.mark.parametrize("samples", [100, 1777])
def test_mel_distance_is_its_formula(samples: int) -> None:
    reference, estimate = sounds(0, samples), sounds(1, samples) * 0.3
    expected = np.abs(
        levels_by_formula(estimate, 8000, 256, 40) - levels_by_formula(reference, 8000, 256, 40)
    ).mean()
    found = MelDistance(8000)(torch.tensor(reference).float(), torch.tensor(estimate).float())
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_a_full_sine_has_a_level_of_zero() -> None:
    """Between two lines of the transform or on one, but for what neighbouring lines add."""
    for frequency in (1000, 1015):
        sine = torch.sin(2 * math.pi * frequency / 8000 * torch.arange(8000))
        assert MelDistance(8000).levels(sine)[0].max().item() == pytest.approx(0, abs=2)


def test_a_gain_moves_all_levels() -> None:
    loud = torch.tensor(sounds(3, 4000)).float()
    assert MelDistance(8000)(loud, loud / 2).item() == pytest.approx(20 * math.log10(2), abs=0.02)


def test_silence_has_a_level() -> None:
    silence = torch.zeros(2, 800, requires_grad=True)
    distance = MelDistance(16000)
    assert distance(silence, silence).item() == 0
    assert distance.levels(silence).unique().item() == pytest.approx(-80)
    MelLoss(16000)(torch.full((2, 800), 0.1), silence).backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


@pytest.mark.parametrize("sample_rate", [8000, 16000, 24000, 44100])
def test_no_band_is_empty(sample_rate: int) -> None:
    for distance in (MelDistance(sample_rate), *MelLoss(sample_rate).distances):
        assert (distance.bank.sum(1) > 0).all()
        assert len(distance.bank) >= 8


def test_the_loss_is_the_mean_of_its_resolutions() -> None:
    reference, estimate = torch.tensor(sounds(4, 2, 2, 900)).float()
    expected = [
        np.mean(
            [
                np.abs(
                    levels_by_formula(e.numpy(), 8000, window, bands)
                    - levels_by_formula(r.numpy(), 8000, window, bands)
                )
                for r, e in zip(reference, estimate, strict=True)
            ]
        )
        for window, bands in ((64, 10), (256, 40))
    ]
    loss = MelLoss(8000)
    found = [distance(reference, estimate).item() for distance in loss.distances]
    assert found[:2] == pytest.approx(expected, rel=1e-3)
    assert loss(reference, estimate).item() == pytest.approx(np.mean(found), rel=1e-5)


def si_sdr_by_formula(reference: np.ndarray, estimate: np.ndarray) -> float:
    reference, estimate = reference - reference.mean(), estimate - estimate.mean()
    wanted = estimate @ reference / (reference @ reference) * reference
    return 10 * math.log10(wanted @ wanted / ((estimate - wanted) @ (estimate - wanted)))


def test_si_sdr_is_its_formula() -> None:
    reference = sounds(0, 3, 1001) + 0.05
    estimate = 0.3 * reference + sounds(1, 3, 1001) * [[0.01], [0.1], [1.0]] - 0.2
    expected = [si_sdr_by_formula(*pair) for pair in zip(reference, estimate, strict=True)]
    found = si_sdr(torch.tensor(reference), torch.tensor(estimate))
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_si_sdr_does_not_see_scale_sign_or_offset() -> None:
    reference, estimate = torch.tensor(sounds(0, 2, 501))
    plain = si_sdr(reference, estimate).item()
    for changed in (estimate * 3, -estimate, estimate + 1):
        assert si_sdr(reference, changed).item() == pytest.approx(plain, rel=1e-9)


def test_si_sdr_at_its_ends() -> None:
    sound = torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert si_sdr(sound, 2 * sound).item() == math.inf
    assert si_sdr(sound, torch.tensor([1.0, 1.0, -1.0, -1.0])).item() == -math.inf
    assert math.isnan(si_sdr(torch.zeros(4), sound).item())
    silence = torch.zeros(4)
    for pair in ((sound, sound), (silence, sound), (sound, silence), (silence, silence)):
        assert si_sdr(*pair, floor=1e-12).isfinite()
    assert si_sdr(sound, sound, floor=1e-12).item() == pytest.approx(120)
    with pytest.raises(CodewordError, match=r"an estimate of shape \(4,\), but got \(3,\)"):
        si_sdr(sound, sound[:3])


def test_relative_error_is_its_formula() -> None:
    reference, estimate = sounds(0, 2, 300), sounds(1, 2, 300)
    error, power = ((estimate - reference) ** 2).mean(1), (reference**2).mean(1)
    expected = 10 * np.log10((error + 1e-6) / (power + 1e-6))
    found = relative_error(torch.tensor(reference), torch.tensor(estimate))
    assert np.allclose(found.numpy(), expected)
    assert relative_error(torch.zeros(9), torch.zeros(9)).item() == 0
