"""The seal: checksums of all bytes of a Parquet file, kept inside of it, so that any part can be checked alone.

Parquet's page checksums leave out the headers of pages and the footer, and some damaged footers end the process from
inside of Arrow before Python could say anything. So bytes are checked before Arrow sees them. The seal lies between
the last page and the footer, where readers of Parquet look only if the footer sends them there:

    PAR1, pages, [ SHA-256 of each mebibyte before, where the pages end, MARK, SHA-256 of all after the pages ],
    footer, length of the footer, PAR1
"""

from __future__ import annotations

import io
import os
from hashlib import sha256
from typing import BinaryIO

from codeword.errors import CodewordError

__all__ = ["SealedFile", "check_ends", "seal", "sealed"]

MAGIC = b"PAR1"
MARK = b"\0codeword's seal"
HASH = sha256().digest_size
PLACE = 8  # bytes of an offset
ENDING = 4 + len(MAGIC)
CHUNK = 2**20  # bytes that are checked at a time


def seal(stream: BinaryIO) -> None:
    """Put the seal into the finished Parquet file that is open in `stream` for reading and writing."""
    footer, _ = _footer(stream)
    stream.seek(0)
    hashes = [sha256(stream.read(min(CHUNK, footer - at))).digest() for at in range(0, footer, CHUNK)]
    tail = stream.read()
    begin = b"".join(hashes) + footer.to_bytes(PLACE, "little") + MARK
    stream.seek(footer)
    stream.write(begin + sha256(begin + tail).digest() + tail)


def check_ends(stream: BinaryIO) -> None:
    """Check that the file open in `stream` begins and ends as Parquet does.

    Raises:
        CodewordError: something else, or a truncated file.
    """
    stream.seek(0)
    beginning = stream.read(len(MAGIC))
    if beginning != MAGIC:
        got = f"one that begins with {beginning!r}"
        raise CodewordError.of("a Parquet file", got, "pass a file that codeword encode wrote")
    _footer(stream)


def sealed(stream: BinaryIO) -> SealedFile | None:
    """The Parquet file open in `stream` as one that checks what is read of it; None: it has no seal.

    Raises:
        CodewordError: a seal that does not fit what lies behind the pages.
    """
    footer, size = _footer(stream)
    # A length of the footer that is damaged points to another place than that of the seal.
    begin = max(0, min(footer - len(MARK) - HASH, size - CHUNK))
    stream.seek(begin)
    mark = begin + stream.read().rfind(MARK)
    if mark < begin:
        return None
    stream.seek(max(0, mark - PLACE))
    pages = int.from_bytes(stream.read(PLACE), "little")
    hashes = HASH * -(-pages // CHUNK)
    if mark + len(MARK) + HASH != footer or pages + hashes + PLACE != mark:
        raise _damaged()
    stream.seek(pages)
    tail = stream.read()
    root = footer - HASH - pages
    if sha256(tail[:root] + tail[root + HASH :]).digest() != tail[root : root + HASH]:
        raise _damaged()
    return SealedFile(stream, pages, tail)


class SealedFile(io.RawIOBase):
    """Reads a sealed file: no byte is handed out before the mebibyte around it was checked.

    Args:
        stream: the file.
        pages: where its pages end.
        tail: all behind them, which was checked: the seal and the footer.
    """

    def __init__(self, stream: BinaryIO, pages: int, tail: bytes) -> None:
        super().__init__()
        self._stream, self._pages, self._tail = stream, pages, tail
        self._place = 0
        self._number, self._chunk = -1, b""  # of the chunk that was checked last

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = self._pages + len(self._tail)
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        size = len(self._tail) + self._pages if size < 0 else size
        pieces = []
        while size and (piece := self._some(size)):
            pieces.append(piece)
            size -= len(piece)
            self._place += len(piece)
        return b"".join(pieces)

    def _some(self, size: int) -> bytes:
        """Up to `size` bytes from here, of one chunk."""
        if self._place >= self._pages:
            begin = self._place - self._pages
            return self._tail[begin : begin + size]
        number, begin = divmod(self._place, CHUNK)
        if number != self._number:
            self._check(number)
        return self._chunk[begin : begin + size]

    def _check(self, number: int) -> None:
        begin = number * CHUNK
        self._stream.seek(begin)
        chunk = self._stream.read(min(CHUNK, self._pages - begin))
        if sha256(chunk).digest() != self._tail[number * HASH : (number + 1) * HASH]:
            raise _damaged()
        self._number, self._chunk = number, chunk


def _damaged() -> CodewordError:
    remedy = "it was damaged or changed: fetch it or encode the items again (verify=None reads it unchecked)"
    return CodewordError.of("bytes that agree with the seal of the file", "others", remedy)


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
