"""Sounds of two channels as two items, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codeword.errors import CodewordError
from codeword.workbench.data.audio import SoundFiles
from codeword.workbench.data.stereo import joined, rejoined

RATE = 8000


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.4, 0.4, samples).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One sound that cancels out, one with a silent channel, one of one channel, one of three, and a broken one."""
    one = noise(500)
    soundfile.write(tmp_path / "a.wav", np.stack([one, -one], 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", np.stack([one, 0 * one], 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "c.wav", noise(400, 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "d.wav", np.stack([noise(300, n) for n in range(3)], 1), RATE, subtype="FLOAT")
    (tmp_path / "e.wav").write_text("no sound")
    return tmp_path


@pytest.mark.parametrize(("channels", "parts"), [("separate", "left right"), ("mid-side", "mid side")])
def test_two_channels_are_two_items(folder: Path, channels: str, parts: str) -> None:
    first, second = parts.split()
    stream = SoundFiles(folder, RATE, 40, channels=channels)
    found = dict(stream)
    assert list(found) == [
        f"a.wav/{first}",
        f"a.wav/{second}",
        f"b.wav/{first}",
        f"b.wav/{second}",
        "c.wav",
        "d.wav",
    ]
    assert [Path(left.path).name for left in stream.skipped] == ["e.wav"]
    names, sounds = rejoined(list(found), found.values())
    assert names == ["a.wav", "b.wav", "c.wav", "d.wav"]
    for name, sound in zip(names[:2], sounds, strict=False):
        assert np.allclose(sound, soundfile.read(folder / name)[0], atol=1e-7)
    some = [f"b.wav/{second}", f"a.wav/{first}"]
    again = dict(SoundFiles(folder, RATE, 40, some, channels))
    assert list(again) == some
    assert all(np.array_equal(again[name], found[name]) for name in some)


def test_channels_that_cancel_out_are_no_silence(folder: Path) -> None:
    stream = SoundFiles(folder, RATE)
    assert [name for name, _ in stream] == ["b.wav", "c.wav", "d.wav"]
    assert "ones that cancel out; pass --channels separate or mid-side" in stream.skipped[0].reason


def test_what_is_too_short_or_silent_has_no_items(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.stack([noise(30)] * 2, 1), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros((90, 2)), RATE)
    soundfile.write(tmp_path / "good.wav", np.stack([noise(90)] * 2, 1), RATE)
    stream = SoundFiles(tmp_path, RATE, 40, channels="separate")
    assert [name for name, _ in stream] == ["good.wav/left", "good.wav/right"]
    assert len(stream.skipped) == 4


def test_a_lone_channel_keeps_its_name() -> None:
    names, sounds = rejoined(["a.wav/right", "b.wav/mid", "c.wav/side"], [np.ones(1)] * 3)
    assert names == ["a.wav/right", "b.wav/mid", "c.wav/side"]
    assert [sound.ndim for sound in sounds] == [1, 1, 1]
    assert np.array_equal(joined(np.ones(2), np.zeros(2), "right"), [[1, 0], [1, 0]])


def test_other_words_are_refused(folder: Path) -> None:
    with pytest.raises(CodewordError, match="channels among mix, both, separate, mid-side, but got left"):
        SoundFiles(folder, RATE, channels="left")
