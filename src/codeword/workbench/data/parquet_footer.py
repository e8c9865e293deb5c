"""The sizes in the footer of a Parquet file, read before Arrow unpacks anything.

Arrow can read them too, but some damaged footers make it end the process. The footer is one struct of Thrift's compact
protocol; the numbers of its fields are those of parquet.thrift in apache/parquet-format.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Held", "held_by"]

BYTE, SHORT, INT, LONG, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(3, 13)  # 1 and 2: true and false
ROWS, GROUPS = 3, 4  # of the file
CHUNKS, GROUP_ROWS = 1, 3  # of a row group
FACTS = 3  # of a chunk
VALUES, UNPACKED = 5, 6  # of its facts


class Held(NamedTuple):
    """The sizes of the chosen columns of a file."""

    values: int
    unpacked: int
    """Bytes of their pages."""


def held_by(path: Path, columns: Container[int]) -> Held:
    """The sizes of some columns, by their indices among all leaf columns.

    Raises:
        ValueError, IndexError: the footer is damaged or inconsistent.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(max(0, size - 8 - length))
        footer = _Struct(stream.read(length))
    rows, total, values, unpacked = 0, 0, 0, 0
    for field in footer.fields():
        if field == (ROWS, LONG):
            total = footer.signed()
        elif field == (GROUPS, LIST):
            for _ in footer.structs():
                group = _group(footer, columns)
                rows, values, unpacked = rows + group[0], values + group[1], unpacked + group[2]
        else:
            footer.skip(field[1])
    if rows != total:
        raise ValueError("the rows of its groups are not those of the file")
    return Held(values, unpacked)


def _group(footer: _Struct, columns: Container[int]) -> tuple[int, int, int]:
    """Rows of a row group, and values and bytes of the columns."""
    rows, chunks = 0, list[tuple[int, int]]()
    for field in footer.fields():
        if field == (GROUP_ROWS, LONG):
            rows = footer.signed()
        elif field == (CHUNKS, LIST):
            found = enumerate(_chunk(footer) for _ in footer.structs())
            chunks = [chunk for place, chunk in found if place in columns]
        else:
            footer.skip(field[1])
    if not 0 <= rows <= min((values for values, _ in chunks), default=0):
        raise ValueError("it has less values than rows")
    return rows, sum(values for values, _ in chunks), sum(unpacked for _, unpacked in chunks)


def _chunk(footer: _Struct) -> tuple[int, int]:
    values = unpacked = 0
    for field in footer.fields():
        if field != (FACTS, STRUCT):
            footer.skip(field[1])
            continue
        for fact in footer.fields():
            if fact == (VALUES, LONG):
                values = footer.signed()
            elif fact == (UNPACKED, LONG):
                unpacked = footer.signed()
            else:
                footer.skip(fact[1])
    return values, unpacked


class _Struct:
    """Reads the compact protocol from the first byte to the last, and keeps only what is asked for."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; its value must be read or skipped before the next."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.signed()
            yield number, head & 15

    def items(self) -> Iterator[int]:
        """The type of each item of a list; each must be read or skipped before the next."""
        head = self._byte()
        for _ in range(head >> 4 if head >> 4 < 15 else self._unsigned()):
            yield head & 15

    def structs(self) -> Iterator[None]:
        """Once for each struct of a list; each must be read or skipped before the next."""
        for kind in self.items():
            if kind != STRUCT:
                raise ValueError("its footer has something else where its parts should be")
            yield

    def signed(self) -> int:
        number = self._unsigned()
        return (number >> 1) ^ -(number & 1)

    def skip(self, kind: int, *, listed: bool = False) -> None:
        if kind in (SHORT, INT, LONG):
            self._unsigned()
        elif kind in (LIST, SET):
            for inner in self.items():
                self.skip(inner, listed=True)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
        elif kind == MAP:
            count = self._unsigned()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self.skip(kinds >> 4, listed=True)
                self.skip(kinds & 15, listed=True)
        elif kind in (1, 2):
            self.at += listed  # a boolean field has its value in its type
        else:
            length = self._unsigned() if kind == BINARY else {BYTE: 1, DOUBLE: 8}[kind]
            self.at += length

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number of its footer has no end")
        return value | byte << shift

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]
