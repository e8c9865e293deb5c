"""Sounds: finding files, reading one as samples of one channel, writing one."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.packages import load
from codeword.tokens import check_name
from codeword.workbench.data.containers import CONTAINERS
from codeword.workbench.data.files import Skipped, none_usable
from codeword.workbench.data.item_files import item_files
from codeword.workbench.data.sound_decode import BLOCK, channels_of, decode_sound
from codeword.workbench.data.stereo import CHANNELS, of_two, parts_of, split

__all__ = ["SUFFIXES", "SoundFiles", "is_silent", "read_sound", "save_wav"]

SUFFIXES = (
    *(".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64"),
    *(".snd", ".w64", ".wav"),
)


class SoundFiles:
    """A stream of sounds, each read when it is needed; see `PictureStream`.

    Iterating gives pairs of name and float32 array (samples,). The name is the path from the folder with its suffix,
    followed by the channel if channels are separate items: `song.wav/left`, `song.wav/right`. An unusable file, a sound
    shorter than a step, and a sound of silence are added to `skipped`. `len` is the number of files, including unusable
    ones.

    Args:
        data: a folder, a sound file, or tars or a data set as `item_files` takes them.
        sample_rate: the rate to which all are resampled.
        stride: the least length: samples per step.
        names: read only these names of the complete stream, in this order; all of them may be unusable.
        channels: of a file of two: "mix" (their mean), "both" (one item (samples, 2), as which a file of one channel
            comes too), "separate" (left and right, two items) or "mid-side" (half of their sum and half of their
            difference, two items).

    Attributes:
        names: of all files, including unusable ones, in order.
        skipped: the unusable files of the latest iteration so far.

    Raises:
        CodewordError: there is no such folder, or it has no sound; at the end of an iteration over all: no sound can be
            used.
    """

    def __init__(
        self,
        data: str | Path,
        sample_rate: int,
        stride: int = 1,
        names: Sequence[str] | None = None,
        channels: str = "mix",
    ) -> None:
        if channels not in CHANNELS:
            raise CodewordError.of(f"channels among {', '.join(CHANNELS)}", channels, "pass one of these")
        for package in ("soundfile", "soxr"):  # otherwise each sound would be skipped for this reason
            load(package, "audio")
        self.data, self.sample_rate, self.stride, self.channels = data, sample_rate, stride, channels
        self.skipped: list[Skipped] = []
        self._part = names is not None
        self._files = item_files(data, (*SUFFIXES, *CONTAINERS), "sounds")
        self.names = list(names) if names is not None else self._names_of(self._files.names())

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        self.skipped = []
        last: tuple[str, np.ndarray] | None = None  # a file that gives two items is read once
        for name in self.names:
            (file, part), path = self._file_of(name), None
            try:
                check_name(name)
                if part is not None and last is not None and last[0] == file:
                    sound = last[1]
                else:
                    with self._files.opened(file) as path:
                        sound = self._read(path, mix=part is None and self.channels != "both")
                    last = file, sound
                self._check(sound)  # of both channels: if only one of them is silent, both are kept
                if self.channels == "both":
                    sound = of_two(sound)
                sound = sound if part is None else split(sound, part)
            except CodewordError as error:
                self.skipped.append(Skipped.of(self._files.where(file), error, path))
            else:
                yield name, sound
        if len(self.skipped) == len(self) and not self._part:
            raise none_usable(self.skipped, self.data, "sounds")

    def _names_of(self, files: Iterable[str]) -> list[str]:
        """The items of some files, by their headers; an unreadable file counts as one item."""
        parts = parts_of(self.channels)
        return [
            name if part is None else f"{name}/{part}"
            for name in files
            for part in (parts if parts and self._channels_of(name) == 2 else (None,))
        ]

    def _channels_of(self, name: str) -> int:
        try:
            with self._files.opened(name) as path:
                return channels_of(path)
        except CodewordError:
            return 1

    def _file_of(self, name: str) -> tuple[str, str | None]:
        file, _, part = name.rpartition("/")
        return (file, part) if file and part in parts_of(self.channels) else (name, None)

    def _read(self, path: Path, *, mix: bool) -> np.ndarray:
        sound = decode_sound(path, self.sample_rate, mix=mix)
        if mix and is_silent(sound) and not is_silent(decode_sound(path, self.sample_rate, mix=False)):
            remedy = "pass --channels separate or mid-side"
            raise CodewordError.of("channels whose mean is a sound", "ones that cancel out", remedy)
        return sound

    def _check(self, sound: np.ndarray) -> None:
        if len(sound) < self.stride:
            plural = "s" * (len(sound) != 1)
            raise CodewordError(f"{len(sound)} sample{plural}, less than one step of {self.stride}")
        if is_silent(sound):
            raise CodewordError("nothing but silence")


def is_silent(sound: np.ndarray) -> bool:
    """Whether all samples of each channel are the same: (samples,) or (samples, channels)."""
    return bool((sound.min(0) == sound.max(0)).all())


def read_sound(path: str | Path, sample_rate: int) -> np.ndarray:
    """Read a sound as one channel at the given sample rate.

    Channels are mixed down by their mean; other rates are resampled (soxr, high quality). Integer samples are scaled so
    that full scale is 1; clipped samples are not restored.

    Args:
        path: a file of a format that libsndfile reads: WAV, FLAC, OGG, MP3, AIFF, AU, CAF, W64 and others; or, with
            the extra `containers`, one that FFmpeg reads: M4A, AAC, WMA, WebM, MP4, AMR and others.
        sample_rate: samples per second of the result.

    Returns:
        numpy array (samples,), float32.

    Raises:
        CodewordError: the file is missing, empty, broken, cut off or no sound; its samples are not finite, or far above
            full scale; soundfile or soxr is missing.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_wav(f"{folder}/a.wav", np.sin(np.arange(16000) * 0.1), 16000)
        ...     read_sound(f"{folder}/a.wav", 8000).shape
        (8000,)
    """
    return decode_sound(path, sample_rate)


def save_wav(path: str | Path, sound: np.ndarray, sample_rate: int) -> None:
    """Write a sound as a 16-bit WAV of one or two channels, completely or not at all.

    Missing folders are created. Samples are clipped to full scale, -1 to 1.

    Args:
        path: the file.
        sound: (samples,) or (samples, 2), float.
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
    if not (sound.ndim == 1 or sound.shape[1:] == (2,)):
        expected, got = "samples of shape (samples,) or (samples, 2)", f"{sound.shape}"
        raise CodewordError.of(expected, got, "pass one channel or two")
    if not np.isfinite(sound).all():
        remedy = "the model that gave it has broken weights"
        raise CodewordError.of("a sound of finite numbers", "others", remedy)
    content = io.BytesIO()  # libsndfile does not report errors of the disk
    kind = {"format": "WAV", "subtype": "PCM_16"}
    with load("soundfile", "audio").SoundFile(content, "w", sample_rate, sound.ndim, **kind) as file:
        for begin in range(0, len(sound), BLOCK):
            scaled = np.round(sound[begin : begin + BLOCK].astype(np.float64) * 32768)
            file.write(np.clip(scaled, -32768, 32767).astype(np.int16))
    write_whole(path, content.getvalue())
