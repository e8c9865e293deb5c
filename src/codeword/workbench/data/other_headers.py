"""The lengths in the headers of AU and W64, which libsndfile does not check."""

from __future__ import annotations

import struct
from typing import BinaryIO

__all__ = ["find_samples"]

AU = {b".snd": ">", b"dns.": "<"}
UNKNOWN = 2**32 - 1  # the length in the header of a streamed AU
W64, DATA = b"riff\x2e\x91\xcf\x11", b"data\xf3\xac\xd3\x11"  # how these GUIDs begin
HEAD = 24  # bytes of the header of a W64 chunk, which its size includes


def find_samples(file: BinaryIO) -> tuple[int, int] | None:
    """The offset of the samples of an AU or W64, and their bytes according to the header; None: another file."""
    file.seek(0)
    head = file.read(40)
    if head[:4] in AU and len(head) >= 12:
        begin, length = struct.unpack(f"{AU[head[:4]]}II", head[4:12])
        return None if length == UNKNOWN else (begin, length)
    return _in_chunks(file) if head.startswith(W64) else None


def _in_chunks(file: BinaryIO) -> tuple[int, int] | None:
    begin = 40
    while True:
        file.seek(begin)
        head = file.read(HEAD)
        if len(head) < HEAD:
            return None
        (length,) = struct.unpack("<Q", head[16:])
        if head.startswith(DATA):
            return begin + HEAD, length - HEAD
        if not HEAD <= length < 2**62:
            return None
        begin += length + -length % 8
