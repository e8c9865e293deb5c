"""Sounds from files, against soundfile and the bytes themselves; excerpts of them."""

from __future__ import annotations

import errno
import os
import struct

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.workbench.data.audio import SUFFIXES, SoundFiles, read_sound, save_wav
from codeword.workbench.data.excerpts import Excerpts

pytestmark = pytest.mark.filterwarnings(
    "ignore:1 file with another ending:codeword.errors.CodewordWarning"
)  # notes.txt


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def sine(rate: int, samples: int, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency / rate * np.arange(samples))).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Four good sounds of several kinds, those that cannot be used, and files of other kinds."""
    root = tmp_path / "sounds"
    (root / "deep").mkdir(parents=True)
    soundfile.write(root / "a.wav", noise(1000), 8000)
    soundfile.write(root / "b.flac", noise(2000), 16000)
    soundfile.write(root / "deep" / "C.OGG", sine(8000, 1500), 8000, format="OGG")
    soundfile.write(root / "both.wav", np.stack([noise(900), noise(900, 1)], 1), 8000)
    soundfile.write(root / "one.wav", noise(1), 8000)
    soundfile.write(root / "none.wav", noise(0), 8000)
    soundfile.write(root / "silent.wav", np.zeros(1000), 8000)
    soundfile.write(
        root / "nan.wav", np.where(np.arange(900) == 7, np.nan, noise(900)), 8000, subtype="FLOAT"
    )
    soundfile.write(root / "loud.wav", 32768 * noise(900), 8000, subtype="FLOAT")
    for cut in ("cut.wav", "cut.flac"):
        soundfile.write(root / cut, noise(5000), 8000)
        os.truncate(root / cut, (root / cut).stat().st_size // 2)
    (root / "empty.wav").write_bytes(b"")
    (root / "text.wav").write_text("this is no sound")
    (root / "gone.wav").symlink_to(root / "nowhere")
    (root / "notes.txt").write_text("notes")
    return root


def test_good_sounds_are_read_and_bad_ones_named(folder):
    found = SoundFiles(folder, 8000, stride=40)
    named = dict(found)
    assert list(named) == ["a.wav", "b.flac", "both.wav", "deep/C.OGG"]
    assert [sound.shape for sound in named.values()] == [(1000,), (1000,), (900,), (1500,)]
    assert all(sound.dtype == np.float32 for sound in named.values())
    reasons = {os.path.basename(one.path): one.reason for one in found.skipped}
    words = {
        "cut.flac": "a whole sound",
        "cut.wav": "a whole sound, but got one that ends after 4978 of 10000 bytes; get it again",
        "empty.wav": "a whole sound",
        "gone.wav": "nothing there",
        "loud.wav": "samples of -1 to 1",
        "nan.wav": "NaN or infinity",
        "none.wav": "an empty one",
        "one.wav": "1 sample, less than one step of 40",
        "silent.wav": "nothing but silence",
        "text.wav": "Format not recognised",
    }
    assert list(reasons) == list(words)
    for name, said in words.items():
        assert said in reasons[name]
        assert str(folder) not in reasons[name]
        assert "Error opening" not in reasons[name]
    assert len(found) == len(named) + len(words)


def test_a_stream_can_be_read_again_and_in_part(folder):
    stream = SoundFiles(str(folder), 8000, 40)
    first = [name for name, _ in stream]
    assert [name for name, _ in stream] == first
    assert len(stream.skipped) == 10
    part = SoundFiles(folder, 8000, 40, names=["text.wav", "a.wav"])
    assert [name for name, _ in part] == ["a.wav"]
    assert list(SoundFiles(folder, 8000, 40, names=["text.wav"])) == []


def test_only_bad_sounds_are_an_error(folder):
    with pytest.raises(CodewordError, match=r"sounds that can be used at .*, but got 1 that cannot"):
        list(SoundFiles(folder / "text.wav", 8000))
    with pytest.raises(CodewordError, match="nothing there"):
        SoundFiles(folder / "never", 8000)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_formats_of_the_list_are_read(tmp_path, suffix):
    """MP3 and the others that lose something add silence at an end, or a shift, too."""
    others = {".aif": "AIFF", ".aifc": "AIFF", ".oga": "OGG", ".opus": "OGG", ".snd": "AU"}
    kind = others.get(suffix, suffix[1:].upper())
    subtype = "OPUS" if suffix == ".opus" else None
    soundfile.write(tmp_path / f"a{suffix}", sine(16000, 16000), 16000, format=kind, subtype=subtype)
    sound = read_sound(tmp_path / f"a{suffix}", 8000)
    assert 8000 <= len(sound) < 9500
    spectrum = np.abs(np.fft.rfft(sound[1000:6000]))
    assert abs(spectrum.argmax() * 8000 / 5000 - 440) < 2
    assert np.abs(sound[1000:6000]).max() == pytest.approx(0.5, abs=0.03)


def test_samples_are_those_of_the_file(tmp_path):
    values = np.random.default_rng(0).integers(-32768, 32768, 777).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", values, 11025)
    assert np.array_equal(read_sound(tmp_path / "a.wav", 11025), values / 32768)


def test_channels_are_mixed_by_their_mean(tmp_path):
    channels = np.stack([noise(700, seed) for seed in range(3)], 1)
    soundfile.write(tmp_path / "a.wav", channels, 8000, subtype="FLOAT")
    assert np.allclose(read_sound(tmp_path / "a.wav", 8000), channels.mean(1), atol=1e-7)


@pytest.mark.parametrize("rate", [6000, 16000, 22050, 44100])
def test_other_rates_are_resampled(tmp_path, rate):
    """A sine of 440 Hz stays one, in its place."""
    soundfile.write(tmp_path / "a.wav", sine(rate, rate), rate, subtype="FLOAT")
    sound = read_sound(tmp_path / "a.wav", 8000)
    assert len(sound) == 8000
    middle = slice(500, 7500)
    assert np.abs(sound[middle] - sine(8000, 8000)[middle]).max() < 2e-3


def test_what_the_new_rate_cannot_hold_is_filtered_out(tmp_path):
    """5 kHz would come back as 3 kHz."""
    soundfile.write(tmp_path / "a.wav", sine(16000, 16000, 5000), 16000)
    assert np.abs(read_sound(tmp_path / "a.wav", 8000)[500:7500]).max() < 1e-2


def test_clipped_samples_stay(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.clip(3 * sine(8000, 800), -1, 1), 8000)
    sound = read_sound(tmp_path / "a.wav", 8000)
    assert sound.min() == -1
    assert (np.abs(sound) > 0.9999).sum() > 200


def test_more_than_a_block_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("codeword.workbench.data.sound_decode.BLOCK", 100)
    soundfile.write(tmp_path / "a.wav", noise(1050), 8000, subtype="FLOAT")
    assert np.array_equal(read_sound(tmp_path / "a.wav", 8000), noise(1050))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_does_not_know_its_length(tmp_path, size):
    soundfile.write(tmp_path / "a.wav", noise(600), 8000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_sound(tmp_path / "a.wav", 8000)) == 600


def test_chunks_before_the_data_are_passed_over(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(600), 8000)
    content = (tmp_path / "a.wav").read_bytes()
    place = content.index(b"data")
    extra = b"LIST" + struct.pack("<I", 5) + b"words" + b"\0"
    (tmp_path / "a.wav").write_bytes(content[:place] + extra + content[place:])
    assert len(read_sound(tmp_path / "a.wav", 8000)) == 600
    os.truncate(tmp_path / "a.wav", len(content) - 100)
    with pytest.raises(CodewordError, match="it was cut off"):
        read_sound(tmp_path / "a.wav", 8000)


def test_saved_sounds_are_read_by_another_library(tmp_path):
    sound = np.array([0.0, 0.5, -0.25, 1.0, -1.0, 1.7, -9.0, 1 / 32768], np.float32)
    save_wav(tmp_path / "new" / "a.wav", sound, 12345)
    values, rate = soundfile.read(tmp_path / "new" / "a.wav", dtype="int16")
    assert rate == 12345
    assert values.tolist() == [0, 16384, -8192, 32767, -32768, 32767, -32768, 1]
    values = noise(500)
    save_wav(tmp_path / "b.wav", values, 8000)
    assert np.abs(read_sound(tmp_path / "b.wav", 8000) - values).max() <= 0.5 / 32768 + 1e-9


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CodewordError, match="No space left on device"):
        save_wav(tmp_path / "new" / "a.wav", noise(100), 8000)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_sound_is_not_saved(tmp_path):
    with pytest.raises(CodewordError, match="finite"):
        save_wav(tmp_path / "a.wav", np.array([0.0, np.nan]), 8000)
    with pytest.raises(CodewordError, match="one channel"):
        save_wav(tmp_path / "a.wav", np.zeros((2, 5)), 8000)
    assert list(tmp_path.iterdir()) == []


# A sound whose every sample says where it is: the sound before the point, the place after it.
def numbered(samples: int, mark: int) -> np.ndarray:
    return (mark + (np.arange(samples) + 1) / 1024).astype(np.float32)


SOUNDS = [numbered(300, 1), numbered(64, 2), numbered(40, 3)]


def test_an_excerpt_is_a_window_of_a_sound_with_either_sign():
    negative, begins = 0, []
    for row in Excerpts(SOUNDS, 64, 300, seed=0).batch(2)[:, 0].numpy():
        negative += row.sum() < 0
        row = np.abs(row)
        sound = SOUNDS[int(row.max()) - 1]
        (inside,) = row.nonzero()
        assert len(inside) == min(64, len(sound))
        begin = round((row[inside[0]] % 1) * 1024) - 1
        np.testing.assert_array_equal(row[inside[0] : inside[-1] + 1], sound[begin : begin + 64])
        begins.append((len(sound), begin, inside[0]))
    assert 110 < negative < 190
    assert {begin for length, begin, _ in begins if length == 300} >= {0, 236} or len(set(begins)) > 100
    assert {place for length, _, place in begins if length == 40} <= set(range(25))
    assert len({place for length, _, place in begins if length == 40}) > 15


def test_every_place_is_drawn_about_equally_often():
    excerpts = Excerpts([numbered(6, 1)], 4, 600, seed=1)
    first = np.concatenate([np.abs(excerpts.batch(step)[:, 0, 0].numpy()) for step in range(5)])
    _, counts = np.unique(first, return_counts=True)
    assert len(counts) == 3
    assert ((counts - 1000) ** 2 / 1000).sum() < 18  # chi-squared of 2 degrees: once in 8,000


def test_long_sounds_count_for_their_length():
    """300 samples are 5 excerpts of 64, the others one each: rounds of 7."""
    rows = np.concatenate([Excerpts(SOUNDS, 64, 5, 3).batch(step)[:, 0].numpy() for step in range(14)])
    marks = np.abs(rows).max(1).astype(int).reshape(-1, 7)
    assert all(sorted(each) == [1, 1, 1, 1, 1, 2, 3] for each in marks.tolist())
    assert len(np.unique(marks, axis=0)) > 3


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9))
def test_a_batch_depends_on_seed_and_step_alone(seed, step):
    one, two = Excerpts(SOUNDS, 50, 5, seed), Excerpts(SOUNDS, 50, 5, seed)
    for other in (step + 7, 0):
        two.batch(other)
    np.random.seed(0)
    assert torch.equal(one.batch(step), two.batch(step))


def test_seeds_and_steps_differ():
    batches = [Excerpts(SOUNDS, 50, 5, seed).batch(step) for seed in range(3) for step in range(3)]
    assert len({batch.numpy().tobytes() for batch in batches}) == 9


@pytest.mark.parametrize(
    ("sounds", "numbers", "words"),
    [
        ([], (8, 4, 0), "at least one sound"),
        (SOUNDS, (0, 4, 0), "size of at least 1"),
        (SOUNDS, (8, 0, 0), "batch of at least 1"),
        (SOUNDS, (8, 4, -1), "seed of at least 0"),
        ([np.zeros(9)], (8, 4, 0), "a float32 array"),
        ([np.zeros((9, 2), np.float32)], (8, 4, 0), "a float32 array"),
    ],
    ids=["none", "size", "batch", "seed", "float64", "stereo"],
)
def test_wrong_arguments_are_named(sounds, numbers, words):
    with pytest.raises(CodewordError, match=words):
        Excerpts(sounds, *numbers)


@pytest.mark.parametrize("kind", ["AU", "CAF", "W64"])
def test_other_containers_that_are_cut_off_are_not_read_as_whole(tmp_path, kind):
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, sine(8000, 8000), 8000, format=kind, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CodewordError, match="a whole sound"):
        read_sound(path, 8000)
