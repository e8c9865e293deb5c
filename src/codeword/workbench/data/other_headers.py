"""What the headers of AU and W64 say about their length, which libsndfile does not hold a file to."""

from __future__ import annotations

import struct
from typing import BinaryIO

__all__ = ["find_samples"]

AU = {b".snd": ">", b"dns.": "<"}
UNKNOWN = 2**32 - 1  # bytes, in an AU of a stream
W64, DATA = b"riff\x2e\x91\xcf\x11", b"data\xf3\xac\xd3\x11"  # how these GUIDs begin
HEAD = 24  # bytes of a chunk of W64 before its content, which its size counts in


def find_samples(file: BinaryIO) -> tuple[int, int] | None:
    """Where the samples of an AU or W64 begin, and how many bytes of them it says there are; None: another file."""
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
