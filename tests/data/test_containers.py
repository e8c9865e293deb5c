"""Sounds in containers, written and read by FFmpeg: what libsndfile does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codeword.errors import CodewordError
from codeword.workbench.data.audio import SoundFiles, read_sound
from codeword.workbench.modalities import kind_of_data

av = pytest.importorskip("av")
RATE = 16000
KINDS = {  # the codec, and the container where the name of the file does not tell it
    ".m4a": ("aac", None),
    ".aac": ("aac", "adts"),
    ".mp4": ("aac", None),
    ".mov": ("pcm_s16le", None),
    ".wma": ("wmav2", "asf"),
    ".webm": ("libopus", None),
    ".mka": ("aac", "matroska"),
    ".ac3": ("ac3", None),
}


def sine(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, sound: np.ndarray, codec: str, container: str | None, rate: int = RATE) -> None:
    """Samples (channels, samples) into a file."""
    with av.open(str(path), "w", format=container) as file:
        layout = "mono" if len(sound) == 1 else "stereo"
        stream = file.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), "fltp", layout)
        frame.sample_rate = rate
        for part in (*av.AudioResampler(stream.format, layout, rate, _size(stream)).resample(frame),):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))


def _size(stream: object) -> int | None:
    stream.codec_context.open()
    return stream.codec_context.frame_size or None


@pytest.mark.parametrize("suffix", KINDS)
def test_containers_are_read(tmp_path: Path, suffix: str) -> None:
    codec, container = KINDS[suffix]
    try:
        write(tmp_path / f"a{suffix}", sine(rate=48000)[None], codec, container, 48000)
    except (ValueError, av.error.FFmpegError) as error:  # of a build without this encoder
        pytest.skip(f"{error}")
    sound = read_sound(tmp_path / f"a{suffix}", 8000)
    assert 7000 <= len(sound) < 9000
    spectrum = np.abs(np.fft.rfft(sound[1000:6000]))
    assert abs(spectrum.argmax() * 8000 / 5000 - 440) < 2
    assert np.abs(sound[1000:6000]).max() == pytest.approx(0.5, abs=0.03)


def test_lossless_samples_are_those_of_the_file(tmp_path: Path) -> None:
    values = (
        np.round(np.random.default_rng(0).uniform(-0.9, 0.9, (2, 3000)) * 32768).astype(np.float32) / 32768
    )
    write(tmp_path / "a.mov", values, "pcm_s16le", None)
    assert np.allclose(read_sound(tmp_path / "a.mov", RATE), values.mean(0), atol=1e-4)
    (left, right) = SoundFiles(tmp_path, RATE, channels="separate")
    assert (left[0], right[0]) == ("a.mov/left", "a.mov/right")
    assert np.allclose(right[1], values[1], atol=1e-4)


def test_videos_beside_pictures_are_no_sounds(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    assert kind_of_data(str(tmp_path)).items == "sounds"
    (tmp_path / "b.png").write_bytes(b"")
    assert kind_of_data(str(tmp_path)).items == "pictures"


def test_what_has_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.m4a").write_text("no sound")
    with pytest.raises(
        CodewordError, match="text.m4a: expected a whole sound, but got one that cannot be read"
    ):
        read_sound(tmp_path / "text.m4a", 8000)
    with av.open(str(tmp_path / "silent.mkv"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))))
        file.mux(stream.encode(None))
    with pytest.raises(CodewordError, match="without a sound track"):
        read_sound(tmp_path / "silent.mkv", 8000)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", sine(), RATE)
    (tmp_path / "b.m4a").write_bytes(b"something")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    stream = SoundFiles(tmp_path, RATE)
    assert [name for name, _ in stream] == ["a.wav"]
    assert 'pip install "codeword[containers]"' in stream.skipped[0].reason


def test_amr_is_read(tmp_path: Path) -> None:
    """Frames of 12.2 kbit/s, 20 milliseconds each, without a container around them."""
    frame = bytes([0x3C]) + bytes(np.random.default_rng(0).integers(0, 256, 31, np.uint8))
    (tmp_path / "a.amr").write_bytes(b"#!AMR\n" + 50 * frame)
    sound = read_sound(tmp_path / "a.amr", 8000)
    assert len(sound) == 8000
    assert sound.std() > 0
