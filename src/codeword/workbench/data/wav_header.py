"""The length in the header of a WAV: truncated files are detected, and streamed files are read to their end."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

from codeword.errors import CodewordError
from codeword.workbench.data.other_headers import find_samples

__all__ = ["whole_sound"]

LIMITS = (2**31, 2**32, 2**63, 2**64)
SLACK = 2**16  # sizes so close to a limit, or 0, come from programs that cannot return to the header
ALL = b"\xff\xff\xff\xff"  # as the size of the samples: up to the end of the file


def whole_sound(path: Path) -> Path | BinaryIO:
    """The file for libsndfile, or its content with a corrected header if libsndfile would find no samples.

    Raises:
        CodewordError: a WAV, AU or W64 that is shorter than it says, which libsndfile reads as far as it goes.
    """
    with open(path, "rb") as file:
        begin, length = _find_samples(file)
        other = None if begin is not None else find_samples(file)
        size = file.seek(0, os.SEEK_END)
        if other is not None and sum(other) > size:
            raise _cut(size - other[0], other[1])
        if begin is None or (length and begin + length <= size):
            return path
        if not _is_unknown(length):
            raise _cut(size - begin, length)
        if _only_chunks(file, begin):
            return path
        file.seek(0)
        content = file.read()
    return io.BytesIO(b"RIFF" + content[4 : begin - 4] + ALL + content[begin:])


def _cut(found: int, length: int) -> CodewordError:
    got = f"one that ends after {max(0, found)} of {length} bytes"
    return CodewordError.of("a whole sound", got, "get it again: it was cut off")


def _find_samples(file: BinaryIO) -> tuple[int | None, int]:
    """The offset of the samples of a WAV, and their bytes according to the header."""
    kind, _, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    long = 0
    while kind in (b"RIFF", b"RF64") and form == b"WAVE":
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        begin = file.tell()
        if name == b"data":
            return begin, long if kind == b"RF64" and head.endswith(ALL) else length
        if name == b"ds64":
            _, long = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        file.seek(begin + length + length % 2)
    return None, 0


def _is_unknown(length: int) -> bool:
    return length == 0 or any(limit - SLACK <= length <= limit for limit in LIMITS)


def _only_chunks(file: BinaryIO, begin: int) -> bool:
    """Whether only other chunks follow; then the file has no samples on purpose."""
    size = file.seek(0, os.SEEK_END)
    while begin < size:
        file.seek(begin)
        name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        if not (name.isascii() and name.decode("ascii").isprintable()):
            return False
        begin += 8 + length + length % 2
    return begin == size
