"""Writing token files, item by item."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from codeword.errors import CodewordError
from codeword.files import replacing, writing
from codeword.packages import load
from codeword.tokens.digest import TokenDigest
from codeword.tokens.header import Header
from codeword.tokens.names import check_name
from codeword.tokens.seal import seal
from codeword.tokens.table import DIGEST_KEY, HEADER_KEY, ROW_GROUP, schema, table, typed

__all__ = ["TokenWriter", "write_tokens"]


class TokenWriter:
    """Writes a token file item by item, in a `with` block.

    The file takes its name when the block ends well. On any failure nothing is left, and a file that was
    there before stays. Memory holds about a million tokens at a time, and the names.

    Args:
        path: the file to write. Missing folders are made.
        header: the facts about all items.

    Raises:
        CodewordError: the place cannot be written to, the disk is full, or pyarrow is missing.

    Example:
        >>> import tempfile
        >>> from codeword.tokens import read_tokens
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/tokens.parquet"
        ...     with TokenWriter(path, Header("c0de", codebook_sizes=(16,))) as writer:
        ...         writer.write("one.png", [[1, 2, 3], [4, 5, 15]])
        ...     [(name, grid.tolist()) for name, grid in read_tokens(path)]
        [('one.png', [[1, 2, 3], [4, 5, 15]])]
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        self.path = Path(path)
        self.header = header
        self._digest = TokenDigest(header.to_bytes())
        self._names: set[str] = set()
        self._pending: list[tuple[str, Any]] = []
        self._pending_tokens = 0
        self._output = self._open()
        self._parquet: Any = None

    @property
    def count(self) -> int:
        """Number of items written so far."""
        return self._digest.count

    def __enter__(self) -> TokenWriter:
        self._parquet = self._output.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._output.__exit__(kind, error, trace)
        self._parquet = None

    def write(self, name: str, indices: Any) -> None:
        """Add one item.

        Args:
            name: a relative path, unlike those of all items before; see `check_name`.
            indices: integers of shape (height, width, *trailing_shape): an array, a tensor on the CPU, lists.

        Raises:
            CodewordError: a wrong shape or type, a token outside of its codebook, a name that is unsafe or
                taken; or the disk is full.
        """
        if self._parquet is None:
            remedy = "write: with TokenWriter(path, header) as writer"
            raise CodewordError.of("a writer inside its with block", "one outside of it", remedy)
        check_name(name)
        if name in self._names:
            expected = f"each name once in {self.path}"
            raise CodewordError.of(expected, f"{name!r} again", "rename one of the items")
        tokens = typed(name, indices, self.header)
        self._names.add(name)
        self._digest.add(name, tokens)
        self._pending.append((name, tokens))
        self._pending_tokens += tokens.size
        if self._pending_tokens >= ROW_GROUP:
            self._flush()

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        """Make the Parquet writer; after the block, write what is pending and the metadata, and close it."""
        parquet = load("pyarrow.parquet", "tokens")
        with replacing(self.path) as stream:
            with writing(self.path):
                # Dictionary pages hold a token in as many bits as its codebook needs; plain ones take 32.
                writer = parquet.ParquetWriter(
                    stream,
                    schema(self.header),
                    compression="zstd",
                    use_dictionary=["tokens.list.element"],
                    write_statistics=False,
                    write_page_checksum=True,
                    store_schema=False,
                )
            try:
                yield writer
                self._flush()
                facts = {HEADER_KEY: self.header.to_bytes(), DIGEST_KEY: self._digest.hexdigest().encode()}
                with writing(self.path):
                    writer.add_key_value_metadata(facts)
                    writer.close()
                    seal(stream)
            finally:
                # After a failure its finaliser would write a footer into the closed file.
                writer.is_open = False

    def _flush(self) -> None:
        if self._pending:
            with writing(self.path):
                rows = len(self._pending)
                self._parquet.write_table(table(self._pending, self.header), row_group_size=rows)
            self._pending, self._pending_tokens = [], 0


def write_tokens(path: str | Path, header: Header, items: Iterable[tuple[str, Any]]) -> int:
    """Write all `items`, pairs of name and indices, to a token file, and return how many there were.

    Raises:
        CodewordError: as for `TokenWriter`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_tokens(f"{folder}/tokens.parquet", Header("c0de", (16,)), [("one.png", [[1, 2, 3]])])
        1
    """
    with TokenWriter(path, header) as writer:
        for name, indices in items:
            writer.write(name, indices)
    return writer.count
