"""Find names that come twice, among more names than fit into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import IO
from zlib import crc32

from codeword.errors import CodewordError

__all__ = ["NamesOnce"]

LIMIT = 2**21  # names in memory
PARTS = 128


class NamesOnce:
    """Names are added in a `with` block and checked at its end.

    Beyond two million they go to temporary files, chosen by a hash of the name, so equal names are in one file.

    Args:
        data: where they are from, for the error.

    Examples:
        >>> with NamesOnce("items.parquet") as names:
        ...     names.add(["a", "b"])
        ...     names.add(["a"])
        ...     names.check()
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected each name once in items.parquet, but got 'a' again; \
rename one of the rows
    """

    def __init__(self, data: str, limit: int = LIMIT) -> None:
        self.data, self.limit = data, limit
        self._names: set[str] = set()
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> NamesOnce:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()

    def add(self, names: Iterable[str]) -> None:
        """Add names.

        Raises:
            CodewordError: a name that is in memory comes again.
        """
        self._add_to(self._names, names)
        if len(self._names) > self.limit:
            self._spill()

    def check(self) -> None:
        """Check all names.

        Raises:
            CodewordError: a name has come twice.
        """
        if self._files:
            self._spill()
        for file in self._files:
            file.seek(0)
            self._add_to(set(), (line[:-1].decode() for line in file))

    def _add_to(self, seen: set[str], names: Iterable[str]) -> None:
        for name in names:
            if name in seen:
                raise CodewordError.of(
                    f"each name once in {self.data}", f"{name!r} again", "rename one of the rows"
                )
            seen.add(name)

    def _spill(self) -> None:
        """Names have no control characters, so each is one line."""
        if not self._files:
            self._files = [tempfile.TemporaryFile() for _ in range(PARTS)]  # noqa: SIM115  closed at the end
        for name in self._names:
            encoded = name.encode()
            self._files[crc32(encoded) % PARTS].write(encoded + b"\n")
        self._names = set()
