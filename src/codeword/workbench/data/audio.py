"""Sounds: finding files, reading one as samples of one channel, writing one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError, printable
from codeword.files import write_whole
from codeword.packages import load
from codeword.tokens import check_name
from codeword.workbench.data.ahead import read_ahead
from codeword.workbench.data.files import Skipped, check_unpacked, fault_of, find_files, none_usable
from codeword.workbench.data.wav_header import whole_sound

__all__ = ["SUFFIXES", "SoundFiles", "find_sounds", "is_silent", "read_sound", "save_wav"]

SUFFIXES = (
    *(".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64"),
    *(".snd", ".w64", ".wav"),
)
BLOCK = 1 << 20  # samples read at once: what a broken header says about the length is not believed
PACKED = 1000  # times smaller than its samples is a file at most; the thriftiest speech (Opus, 6 kbit/s): 256
LOUDEST = 4.0
"""Of samples as floats: some programs go a little over full scale, 1.0; more is another scale."""
UNKNOWN = 2**63 - 1  # frames, says libsndfile, of a FLAC from a stream


class SoundFiles:
    """Sounds in their order, a few read ahead by threads: `PictureStream` for sounds.

    Iterating gives pairs of name and float32 array (samples,). The name is the path from the folder with its suffix.
    A file that cannot be used, a sound shorter than a step, and one with nothing but silence go to `skipped`. `len`
    is the number of files, the bad ones too.

    Args:
        data: a folder, or a sound file.
        sample_rate: what all are resampled to.
        stride: the least length: samples per step.
        names: some of the names that a stream of all had: only these, in this order; all of them may be bad.

    Attributes:
        names: of all files, the bad ones too, in order.
        skipped: the files that could not be used, of the latest iteration so far.

    Raises:
        CodewordError: there is no such folder, or no sound in it; at the end of an iteration over all: all were bad.
    """

    def __init__(
        self, data: str | Path, sample_rate: int, stride: int = 1, names: Sequence[str] | None = None
    ) -> None:
        for package in ("soundfile", "soxr"):  # else each sound would be skipped for it
            load(package, "audio")
        self.data, self.sample_rate, self.stride = data, sample_rate, stride
        self.skipped: list[Skipped] = []
        self._part = names is not None
        self._root = Path(data) if Path(data).is_dir() else Path(data).parent
        found = (
            path.relative_to(self._root).as_posix() for path in (() if self._part else find_sounds(data))
        )
        self.names = list(names or found)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        self.skipped = []
        for name, sound in read_ahead(self._read, self.names):
            if isinstance(sound, CodewordError):
                self.skipped.append(Skipped.of(self._root / name, sound))
            else:
                yield name, sound
        if len(self.skipped) == len(self) and not self._part:
            raise none_usable(self.skipped, self.data, "sounds")

    def _read(self, name: str) -> np.ndarray:
        check_name(name)
        sound = read_sound(self._root / name, self.sample_rate)
        self._check(sound)
        return sound

    def _check(self, sound: np.ndarray) -> None:
        if len(sound) < self.stride:
            plural = "s" * (len(sound) != 1)
            raise CodewordError(f"{len(sound)} sample{plural}, less than one step of {self.stride}")
        if is_silent(sound):
            raise CodewordError("nothing but silence")


def find_sounds(folder: str | Path) -> list[Path]:
    """All sound files in a folder and the folders in it, as `find_files`; or one sound file, whatever its suffix.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_wav(f"{folder}/birds/one.wav", np.zeros(8), 8000)
        ...     [path.name for path in find_sounds(folder)]
        ['one.wav']
    """
    return find_files(folder, SUFFIXES, "sounds")


def is_silent(sound: np.ndarray) -> bool:
    """Whether all samples are the same."""
    return bool(sound.min() == sound.max())


def read_sound(path: str | Path, sample_rate: int) -> np.ndarray:
    """Read a sound as samples of one channel, at the sample rate that is wanted.

    Channels are mixed down by their mean; other rates are resampled (soxr, high quality). Samples of whole numbers are
    scaled so that full scale is 1; those that the recording cut off at full scale stay as they are.

    Args:
        path: a file of a format that libsndfile reads: WAV, FLAC, OGG, MP3, AIFF, AU, CAF, W64 and others.
        sample_rate: samples per second of the result.

    Returns:
        numpy array (samples,), float32.

    Raises:
        CodewordError: the file is missing, empty, broken, cut off, no sound, or has samples that are no finite numbers
            or far above full scale; or soundfile or soxr is missing.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_wav(f"{folder}/a.wav", np.sin(np.arange(16000) * 0.1), 16000)
        ...     read_sound(f"{folder}/a.wav", 8000).shape
        (8000,)
    """
    try:
        return _read(Path(path), sample_rate)
    except CodewordError as error:
        raise CodewordError(f"{printable(str(path))}: {error}") from error.__cause__


def save_wav(path: str | Path, sound: np.ndarray, sample_rate: int) -> None:
    """Write a sound as a WAV of one channel of 16 bits: whole or not at all. Missing folders are made.

    Samples beyond full scale, -1 to 1, are cut off at it.

    Args:
        path: the file.
        sound: (samples,), float.
        sample_rate: samples per second.

    Raises:
        CodewordError: another shape, numbers that are not finite, or the file cannot be written.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_wav(f"{folder}/a.wav", np.array([0.5, -0.25]), 8000)
        ...     read_sound(f"{folder}/a.wav", 8000)
        array([ 0.5 , -0.25], dtype=float32)
    """
    if sound.ndim != 1:
        expected, got = "samples of shape (samples,)", f"{sound.shape}"
        raise CodewordError.of(expected, got, "pass one channel")
    if not np.isfinite(sound).all():
        remedy = "the model that gave it has broken weights"
        raise CodewordError.of("a sound of finite numbers", "others", remedy)
    values = np.clip(np.round(sound.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)
    content = io.BytesIO()  # an error of the disk would be lost on its way through libsndfile
    load("soundfile", "audio").write(content, values, sample_rate, format="WAV", subtype="PCM_16")
    write_whole(path, content.getvalue())


def _read(path: Path, sample_rate: int) -> np.ndarray:
    soundfile = load("soundfile", "audio")
    try:
        with soundfile.SoundFile(whole_sound(path)) as sound:
            rate = sound.samplerate
            numbers = max(sound.channels, sample_rate // rate)  # of a frame, decoded, or of the result
            samples = _mono(sound, lambda frames: check_unpacked(path, 4 * frames * numbers, PACKED))
    except CodewordError:
        raise
    except FileNotFoundError as error:
        raise CodewordError.of("a sound", "nothing there", "check the path") from error
    # libsndfile names its errors, but a broken header can lead to anything: MemoryError, TypeError, ...
    except Exception as error:
        reason = fault_of(path, error).rpartition("': ")[2]
        got = f"one that cannot be read ({reason})"
        raise CodewordError.of("a whole sound", got, "save it again with another program") from error
    _check_samples(samples)
    if rate != sample_rate:
        samples = load("soxr", "audio").resample(samples, rate, sample_rate)
        _check_any(samples)
    return samples


def _mono(sound: Any, check: Callable[[int], None]) -> np.ndarray:
    """All samples, the mean of the channels; `check`: is told of how many frames there are to be."""
    known = sound.frames < UNKNOWN
    if known:
        check(sound.frames)
    else:
        sound.seekable = lambda: False  # soundfile would seek after each read, which needs the length
    blocks, size, count = [np.zeros(0, np.float32)], max(1, BLOCK // sound.channels), 0
    while len(block := sound.read(size, dtype="float32", always_2d=True)):
        blocks.append(block.mean(axis=1))
        count += len(block)
        check(count)
    samples = np.concatenate(blocks)
    if known and count < sound.frames:
        got = f"one that ends after {len(samples)} of {sound.frames}"
        raise CodewordError.of("a whole sound", got, "get it again: it was cut off")
    return samples


def _check_samples(samples: np.ndarray) -> None:
    _check_any(samples)
    if not np.isfinite(samples).all():
        remedy = "save it again from its source"
        raise CodewordError.of("samples that are finite numbers", "NaN or infinity", remedy)
    loudest = float(np.abs(samples).max())
    if loudest > LOUDEST:
        expected, remedy = "samples of -1 to 1, full scale", "divide them by what is full scale"
        raise CodewordError.of(expected, f"up to {loudest:g}", remedy)


def _check_any(samples: np.ndarray) -> None:
    if not len(samples):
        raise CodewordError.of("a sound", "an empty one", "leave it out")
