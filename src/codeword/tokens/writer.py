"""Writing token files, item by item or many at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from codeword.errors import CodewordError
from codeword.files import replacing, writing
from codeword.packages import load
from codeword.tokens.digest import TokenDigest
from codeword.tokens.header import Header
from codeword.tokens.names import check_names
from codeword.tokens.seal import seal
from codeword.tokens.table import (
    DIGEST_KEY,
    HEADER_KEY,
    ROW_GROUP,
    ROW_GROUP_ROWS,
    as_array,
    is_nested,
    schema,
    table,
    true_sizes,
    typed,
)

__all__ = ["TokenWriter", "write_tokens"]


class TokenWriter:
    """Writes a token file item by item, or many at a time, in a `with` block.

    The file takes its name when the block ends well. On any failure nothing is left, and a file that was
    there before stays. Memory holds about a million tokens at a time, and the names unless `names_differ`.

    Args:
        path: the file to write. Missing folders are made.
        header: the facts about all items.
        names_differ: that no name comes twice is known: the names are not kept to find one that does.

    Raises:
        CodewordError: the place cannot be written to, the disk is full, or pyarrow is missing.

    Examples:
        >>> import tempfile
        >>> from codeword.tokens import read_tokens
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/tokens.parquet"
        ...     with TokenWriter(path, Header("c0de", codebook_sizes=(16,))) as writer:
        ...         writer.write("one.png", [[1, 2, 3], [4, 5, 15]])
        ...     [(name, grid.tolist()) for name, grid in read_tokens(path)]
        [('one.png', [[1, 2, 3], [4, 5, 15]])]
    """

    def __init__(self, path: str | Path, header: Header, *, names_differ: bool = False) -> None:
        self.path = Path(path)
        self.header, self.names_differ = header, names_differ
        self._digest = TokenDigest(header.to_bytes())
        self._names: set[str] = set()
        self._pending: list[tuple[Sequence[str], Any, Any]] = []
        self._room, self._room_rows = ROW_GROUP, ROW_GROUP_ROWS  # tokens and rows until the row group is full
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

    def write(self, name: str, indices: Any, size: Sequence[int] | None = None) -> None:
        """Add one item.

        Args:
            name: a relative path, unlike those of all items before; see `check_name`.
            indices: integers of shape (*grid, *trailing_shape), the grid being (height, width) of an image,
                (steps,) of audio, () of vectors: an array, a tensor on the CPU, lists.
            size: the true size, of a file whose header is `sized`: (height, width) in pixels, or (samples,).

        Raises:
            CodewordError: a wrong shape or type, a token outside of its codebook, a name that is unsafe or
                taken, a size that is missing or not wanted; or the disk is full.
        """
        self._add([name], as_array(repr(name), indices)[None], None if size is None else [size])

    def write_many(self, names: Sequence[str], indices: Any, sizes: Any = None) -> None:
        """Add items of equal grid, as `write` one after the other, in a fraction of the time.

        Args:
            names: of the items, in order.
            indices: integers of shape (items, *grid, *trailing_shape).
            sizes: whole numbers (items, axes): the true sizes, of a file whose header is `sized`.

        Raises:
            CodewordError: as `write`; none of the items is added then.

        Examples:
            >>> import tempfile
            >>> from codeword.tokens import read_tokens
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     header = Header("c0de", (16, 16), kind="vectors", trailing_shape=(2,))
            ...     with TokenWriter(f"{folder}/ids.parquet", header) as writer:
            ...         writer.write_many(["song", "tune"], [[1, 15], [1, 7]])
            ...     [(name, tokens.tolist()) for name, tokens in read_tokens(f"{folder}/ids.parquet")]
            [('song', [1, 15]), ('tune', [1, 7])]
        """
        names = list(names)
        array = as_array(f"{len(names)} items", indices)
        if names or array.size:
            self._add(names, array, sizes)

    def _add(self, names: Sequence[str], array: Any, sizes: Any) -> None:
        if self._parquet is None:
            remedy = "write: with TokenWriter(path, header) as writer"
            raise CodewordError.of("a writer inside its with block", "one outside of it", remedy)
        check_names(names)
        if not self.names_differ:
            self._check_new(names)
        tokens = typed(names, array, self.header)
        sizes = true_sizes(len(names), sizes, self.header)
        if not self.names_differ:
            self._names.update(names)
        self._digest.add_many(names, tokens, sizes)
        # Row groups end where they would if the items came one by one: the file does not depend on batches.
        size, begin = tokens[0].size, 0
        while begin < len(names):
            end = begin + min(-(-self._room // size), self._room_rows, len(names) - begin)
            some = None if sizes is None else sizes[begin:end]
            self._pending.append((names[begin:end], tokens[begin:end], some))
            self._room -= (end - begin) * size
            self._room_rows -= end - begin
            begin = end
            if self._room <= 0 or not self._room_rows:
                self._flush()

    def _check_new(self, names: Sequence[str]) -> None:
        new = set(names)
        if len(new) == len(names) and new.isdisjoint(self._names):
            return
        seen = set(self._names)
        for name in names:
            if name in seen:
                expected = f"each name once in {self.path}"
                raise CodewordError.of(expected, f"{name!r} again", "rename one of the items")
            seen.add(name)

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
                    use_dictionary=["tokens" + ".list.element" * (1 + is_nested(self.header))],
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
                rows = sum(len(names) for names, _, _ in self._pending)
                self._parquet.write_table(table(self._pending, self.header), row_group_size=rows)
            self._pending = []
            self._room, self._room_rows = ROW_GROUP, ROW_GROUP_ROWS


def write_tokens(path: str | Path, header: Header, items: Iterable[tuple[Any, ...]]) -> int:
    """Write all `items` to a token file, and return how many there were.

    Items are pairs of name and indices, with the true size behind them where the header is `sized`.

    Raises:
        CodewordError: as for `TokenWriter`.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_tokens(f"{folder}/tokens.parquet", Header("c0de", (16,)), [("one.png", [[1, 2, 3]])])
        1
    """
    with TokenWriter(path, header) as writer:
        for item in items:
            writer.write(*item)
    return writer.count
