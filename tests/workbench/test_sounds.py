"""Sounds as a medium: what is minimised, what is measured, what settings mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.workbench.audio import MelLoss
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import build
from codeword.workbench.modalities.audio import Sounds, strides_of
from codeword.workbench.training.recipes import audio_8khz

CONFIG = TrainConfig(quantizer="rvq2x8", features=4, width=4, stride=10, blocks=1, size=105, sample_rate=8000)


def batch(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def si_sdr(reference: np.ndarray, estimate: np.ndarray, floor: float) -> float:
    """10 log10(|a s|^2 / |e - a s|^2) with a = <e, s> / <s, s>, each mean power raised by a floor."""
    s, e = reference - reference.mean(), estimate - estimate.mean()
    a = (e * s).mean() / ((s**2).mean() + floor)
    return float(10 * np.log10((((a * s) ** 2).mean() + floor) / (((e - a * s) ** 2).mean() + floor)))


def test_the_objective_is_its_formula() -> None:
    modality = Sounds(8000)
    tokenizer = build(CONFIG, modality).train()
    sounds = batch(0, 3, 1, 105)
    tokenizer(sounds)  # k-means is behind it: the same codes for both
    tokenizer.eval()
    loss, error = modality.objective(tokenizer)(sounds)
    out = tokenizer(sounds)
    s, e = (x.detach().double().numpy()[:, 0, :105] for x in (sounds, out.reconstruction))
    relative = np.log(((e - s) ** 2).mean(1) + 1e-6) - np.log((s**2).mean(1) + 1e-6)
    mel = MelLoss(8000)(sounds, out.reconstruction[..., :105]).item()
    expected = relative.mean() + 0.03 * mel + out.quantized.loss.item()
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    ratios = [si_sdr(a, b, floor=1e-6) for a, b in zip(s, e, strict=True)]
    assert modality.quality(error.item()) == pytest.approx(np.mean(ratios), rel=1e-4)
    metrics = modality.measure(s[0].astype("f"), e[0].astype("f"), 60.0)
    assert metrics["si_sdr"] == pytest.approx(si_sdr(s[0], e[0], floor=1e-12), rel=1e-4)
    assert metrics["bits_per_second"] == pytest.approx(60 * 8000 / 105)


def test_silence_in_a_batch_harms_nobody() -> None:
    modality = Sounds(8000)
    tokenizer = build(CONFIG, modality).train()
    sounds = batch(0, 4, 1, 105)
    sounds[2] = 0
    loss, error = modality.objective(tokenizer)(sounds)
    loss.backward()
    assert loss.isfinite()
    assert error.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in tokenizer.parameters())


def test_a_perfect_reconstruction_has_finite_figures() -> None:
    sound = batch(1, 900).numpy()
    metrics = Sounds(8000).measure(sound, sound, 100.0)
    assert metrics["si_sdr"] == pytest.approx(10 * math.log10(sound.var() / 1e-12), abs=0.01)
    assert metrics["mel_distance"] == 0
    assert math.isfinite(Sounds(8000).measure(sound, np.zeros_like(sound), 100.0)["si_sdr"])
    assert "mel_distance" not in Sounds(8000).measure(sound, sound, 100.0, brief=True)


@given(st.lists(st.sampled_from([2, 3, 5, 7]), min_size=1, max_size=8))
def test_strides_multiply_to_the_whole(factors: list[int]) -> None:
    strides = strides_of(math.prod(factors))
    assert math.prod(strides) == math.prod(factors)
    assert max(strides) <= 8
    assert list(strides) == sorted(strides)


@pytest.mark.parametrize("stride", [-8, 0, 1, 11, 22, 130])
def test_strides_that_cannot_be(stride: int) -> None:
    with pytest.raises(CodewordError, match="prime factors"):
        strides_of(stride)


def test_the_recipe_is_within_3_kbit_a_second() -> None:
    config = audio_8khz()
    tokenizer = build(config, Sounds.of_data("", config))
    assert tokenizer.bits_per_position * config.sample_rate / tokenizer.stride == 2800


def test_items_go_through_batches_unchanged() -> None:
    modality, sound = Sounds(8000), batch(2, 77).numpy()
    there = modality.to_batch(sound)
    assert there.shape == (1, 1, 77)
    assert np.array_equal(modality.from_batch(there), sound)
    assert np.array_equal(modality.from_batch(there, modality.true_size(sound[:50])), sound[:50])
