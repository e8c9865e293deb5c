"""Sounds in containers that libsndfile does not read: M4A, WebM, WMA and others, through FFmpeg (PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load

__all__ = ["CONTAINERS", "Track", "open_track"]

CONTAINERS = (
    *(".3gp", ".aac", ".ac3", ".amr", ".ape", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp4"),
    *(".webm", ".wma", ".wmv", ".wv"),
)


class Track:
    """The first sound track of a file.

    Attributes:
        sample_rate: samples per second.
        channels: how many there are.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.sample_rate, self.channels = int(stream.rate), int(stream.codec_context.channels)

    def blocks(self) -> Iterator[np.ndarray]:
        """The samples in order: float32 (samples, channels), full scale is -1 to 1."""
        convert = load("av", "containers").AudioResampler("fltp", self._stream.layout, self._stream.rate)
        for frame in self._container.decode(self._stream):
            frame.pts = None  # timestamps of the file may jump; no samples are invented for such gaps
            for converted in convert.resample(frame):
                yield converted.to_ndarray().T
        for converted in convert.resample(None):
            yield converted.to_ndarray().T


@contextmanager
def open_track(path: Path) -> Iterator[Track]:
    """The sound track of a file, to read.

    Raises:
        CodewordError: there is none, or the package is missing (extra `containers`).
    """
    av = load("av", "containers")
    av.logging.set_level(av.logging.PANIC)  # its errors say what is wrong
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise CodewordError.of(
                "a sound", f"{container.format.name} without a sound track", "leave it out"
            )
        yield Track(container, container.streams.audio[0])
