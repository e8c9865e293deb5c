"""Decode a sound file into an array at the given sample rate, or raise an error that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError, printable
from codeword.packages import load
from codeword.workbench.data.containers import CONTAINERS, open_track
from codeword.workbench.data.files import check_unpacked, fault_of
from codeword.workbench.data.wav_header import whole_sound

__all__ = ["BLOCK", "channels_of", "decode_sound"]

BLOCK = 1 << 20  # samples read at once, because the length in a broken header may be wrong
PACKED = 1000  # the highest accepted compression; speech at the lowest rate (Opus, 6 kbit/s) has 256
LOUDEST = 4.0
"""The largest float sample: some programs exceed full scale, 1.0, a little; more means another scale."""
UNKNOWN = 2**63 - 1  # frames, says libsndfile, of a FLAC from a stream


def decode_sound(path: str | Path, sample_rate: int, *, mix: bool = True) -> np.ndarray:
    """The samples of a file: float32 (samples,) of the mean of its channels, or (samples, channels).

    Raises:
        CodewordError: as `read_sound`.
    """
    try:
        samples, rate = _read(Path(path), sample_rate, mix)
        _check_samples(samples)
        if rate != sample_rate:
            samples = load("soxr", "audio").resample(samples, rate, sample_rate)
            _check_any(samples)
    except CodewordError as error:
        raise CodewordError(f"{printable(str(path))}: {error}") from error.__cause__
    return samples


def channels_of(path: Path) -> int:
    """How many channels a file has, by its header; 1 for an unreadable file."""
    try:
        with _opened(path) as (_, channels, _blocks, _frames):
            return channels
    except Exception:  # reading the file raises the error
        return 1


def _read(path: Path, sample_rate: int, mix: bool) -> tuple[np.ndarray, int]:
    """The samples and the sample rate of the file."""
    try:
        with _opened(path) as (rate, channels, blocks, frames):
            numbers = max(channels, sample_rate // rate)  # of a frame, decoded, or of the result
            return _gathered(
                blocks, frames, mix, lambda count: check_unpacked(path, 4 * count * numbers, PACKED)
            ), rate
    except CodewordError:
        raise
    except FileNotFoundError as error:
        raise CodewordError.of("a sound", "nothing there", "check the path") from error
    # libraries have their own errors, but a broken header can raise others: MemoryError, TypeError, ...
    except Exception as error:
        reason = fault_of(path, error).rpartition("': ")[2]
        got = f"one that cannot be read ({reason})"
        raise CodewordError.of("a whole sound", got, "save it again with another program") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int, Iterable[np.ndarray], int | None]]:
    """Sample rate, channels, blocks (samples, channels), and the expected number of samples, if it is known."""
    if path.suffix.lower() in CONTAINERS:
        with open_track(path) as track:
            yield track.sample_rate, track.channels, track.blocks(), None
        return
    with load("soundfile", "audio").SoundFile(whole_sound(path)) as sound:
        known = sound.frames < UNKNOWN
        if not known:
            sound.seekable = lambda: False  # soundfile would seek after each read, which needs the length
        yield sound.samplerate, sound.channels, _blocks(sound), sound.frames if known else None


def _blocks(sound: Any) -> Iterator[np.ndarray]:
    size = max(1, BLOCK // sound.channels)
    while len(block := sound.read(size, dtype="float32", always_2d=True)):
        yield block


def _gathered(
    parts: Iterable[np.ndarray], frames: int | None, mix: bool, check: Callable[[int], None]
) -> np.ndarray:
    """All samples; `check` is called with the expected number of frames."""
    if frames is not None:
        check(frames)
    blocks, count = list[np.ndarray](), 0
    for block in (part.mean(axis=1) if mix else part for part in parts):
        if frames is not None:  # one array from the start: pieces would take twice the memory
            blocks = blocks or [np.empty((frames, *block.shape[1:]), np.float32)]
            blocks[0][count : count + len(block)] = block
        else:
            blocks.append(block)
        count += len(block)
        check(count)
    if frames is not None and count < frames:
        got = f"one that ends after {count} of {frames}"
        raise CodewordError.of("a whole sound", got, "get it again: it was cut off")
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _check_samples(samples: np.ndarray) -> None:
    _check_any(samples)
    if not np.isfinite(samples).all():
        remedy = "save it again from its source"
        raise CodewordError.of("samples that are finite numbers", "NaN or infinity", remedy)
    loudest = float(max(samples.max(), -samples.min()))
    if loudest > LOUDEST:
        expected, remedy = "samples of -1 to 1, full scale", "divide them by what is full scale"
        raise CodewordError.of(expected, f"up to {loudest:g}", remedy)


def _check_any(samples: np.ndarray) -> None:
    if not len(samples):
        raise CodewordError.of("a sound", "an empty one", "leave it out")
