"""The seal: a checksum of the bytes of a Parquet file, kept inside of it.

Parquet's page checksums leave out the footer, and some damaged footers end the process from inside of Arrow
before Python could say anything. So the bytes are checked before Arrow sees them. The seal lies between the
last page and the footer, where readers of Parquet look only if the footer sends them there:

    PAR1, pages, [ MARK, SHA-256 of all other bytes ], footer, length of the footer, PAR1
"""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

from codeword.errors import CodewordError

__all__ = ["check_seal", "seal"]

MAGIC = b"PAR1"
MARK = b"codeword"
SEAL = len(MARK) + hashlib.sha256().digest_size
ENDING = 4 + len(MAGIC)
CHUNK = 2**20  # bytes read at a time


def seal(stream: BinaryIO) -> None:
    """Put the seal into the finished Parquet file that is open in `stream` for reading and writing."""
    footer, size = _footer(stream)
    digest = _digest(stream, (0, footer), (footer, size))
    stream.seek(footer)
    tail = stream.read()
    stream.seek(footer)
    stream.write(MARK + digest + tail)


def check_seal(stream: BinaryIO) -> None:
    """Check that every byte of the file open in `stream` is as `seal` left it.

    Raises:
        CodewordError: no Parquet file, a truncated one, one without a seal, or a damaged one.
    """
    stream.seek(0)
    beginning = stream.read(len(MAGIC))
    if beginning != MAGIC:
        got = f"one that begins with {beginning!r}"
        raise CodewordError.of("a Parquet file", got, "pass a file that codeword encode wrote")
    footer, size = _footer(stream)
    stream.seek(max(footer - SEAL, 0))
    found = stream.read(SEAL)
    if not found.startswith(MARK):
        expected = "a token file, with the seal of codeword before its footer"
        raise CodewordError.of(expected, "Parquet without it", "pass a file that codeword encode wrote")
    if found != MARK + _digest(stream, (0, footer - SEAL), (footer, size)):
        remedy = "it was damaged or changed: fetch it or encode the items again"
        raise CodewordError.of("bytes that agree with the checksum of the file", "others", remedy)


def _footer(stream: BinaryIO) -> tuple[int, int]:
    """Where the footer begins, and the size of the file."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - ENDING, 0))
    ending = stream.read(ENDING)
    begin = size - ENDING - int.from_bytes(ending[:4], "little")
    if ending[4:] != MAGIC or begin < len(MAGIC):
        got = f"one that ends with {ending!r}"
        raise CodewordError.of(
            "a whole Parquet file", got, "it was cut off: fetch it or encode the items again"
        )
    return begin, size


def _digest(stream: BinaryIO, *ranges: tuple[int, int]) -> bytes:
    digest = hashlib.sha256()
    for begin, end in ranges:
        stream.seek(begin)
        while begin < end:
            chunk = stream.read(min(CHUNK, end - begin))
            digest.update(chunk)
            begin += len(chunk)
            if not chunk:  # the file became shorter while it was read
                break
    return digest.digest()
