"""Reading token files: everything is verified before the first item is handed out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.tokens.digest import TokenDigest
from codeword.tokens.header import Header
from codeword.tokens.names import check_names
from codeword.tokens.rows import Batch, batches
from codeword.tokens.seal import check_seal
from codeword.tokens.table import DIGEST_KEY, HEADER_KEY, LARGEST_GROUP, ROW_GROUP, schema

__all__ = ["TokenFile"]

MOST_ROWS = 2**16  # rows decoded at a time, where they are small
LONGEST_STRING = 2**20  # bytes of one string in the footer


class TokenFile:
    """A token file whose header, names, shapes, tokens and digest have been verified.

    Opening it takes one pass over the file; memory holds about a million tokens at a time, and the names. Each
    iteration reads the file anew, and refuses one that has changed since.

    Args:
        path: the file.

    Attributes:
        header: what the file says about all of its items.
        digest: hexadecimal SHA-256 of the header and all items.

    Raises:
        CodewordError: the file cannot be read, is no token file, is of a newer version, or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with _naming(self.path), open(self.path, "rb") as stream:
            self._identity = _identity(stream)
            check_seal(stream)
            parquet = _open(stream)
            raw, self.digest = _metadata(parquet)
            self.header = Header.from_bytes(raw)
            _check_layout(parquet, self.header)
            found = _digest(raw, _rows(parquet, self.header))
            if found.hexdigest() != self.digest:
                remedy = "it was damaged or changed: encode the items again or fetch the file again"
                raise CodewordError.of(f"items with digest {self.digest:.64}", found.hexdigest(), remedy)
            self._count = found.count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Pairs of name and tokens: an int64 numpy array of shape (*grid, *trailing_shape)."""
        for names, tokens in self.batches():
            for number, name in enumerate(names):
                yield name, tokens[number, ...]

    def batches(self) -> Iterator[Batch]:
        """The same by many: names, and tokens of shape (items, *grid, *trailing_shape).

        Neighbours of equal grid come together, as far as they lie within about a million tokens: the fast way
        through many small items.
        """
        with _naming(self.path), open(self.path, "rb") as stream:
            if _identity(stream) != self._identity:
                raise CodewordError.of("the file as it was when opened", "a changed one", "open it again")
            for names, tokens in _rows(_open(stream), self.header):
                yield names, tokens.astype("int64")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the name of the file before every fault that reading it shows."""
    arrow_error = load("pyarrow", "tokens").ArrowException
    try:
        yield
    except CodewordError as error:
        raise CodewordError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise CodewordError.of(f"a token file at {path}", "nothing there", "check the path") from error
    except MemoryError as error:
        remedy = "fetch the file again"
        raise CodewordError.of(f"{path} to fit into memory", "sizes that do not", remedy) from error
    # A damaged footer can show as any of these.
    except (arrow_error, OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        got = f"one that cannot be read ({reason})"
        raise CodewordError.of(f"a whole token file at {path}", got, "encode or fetch it again") from error


def _identity(stream: BinaryIO) -> tuple[int, ...]:
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open(stream: BinaryIO) -> Any:
    parquet = load("pyarrow.parquet", "tokens")
    stream.seek(0)
    return parquet.ParquetFile(
        stream, page_checksum_verification=True, thrift_string_size_limit=LONGEST_STRING, pre_buffer=False
    )


def _metadata(parquet: Any) -> tuple[bytes, str]:
    entries = parquet.metadata.metadata or {}
    if HEADER_KEY not in entries or DIGEST_KEY not in entries:
        expected = f"a token file, with {HEADER_KEY.decode()} and {DIGEST_KEY.decode()} in its metadata"
        raise CodewordError.of(expected, "Parquet of another kind", "pass a file that codeword encode wrote")
    return entries[HEADER_KEY], entries[DIGEST_KEY].decode("ascii", "replace")


def _check_layout(parquet: Any, header: Header) -> None:
    expected = schema(header)
    if not parquet.schema_arrow.equals(expected):
        columns = ", ".join(f"{field.name}: {field.type}" for field in parquet.schema_arrow)
        wanted = ", ".join(f"{field.name}: {field.type}" for field in expected)
        remedy = "encode the items again"
        raise CodewordError.of(f"the columns {wanted} (not null)", f"{columns:.300}", remedy)
    for group in range(parquet.num_row_groups):
        values = parquet.metadata.row_group(group).column(len(expected) - 1).num_values
        if values > LARGEST_GROUP:
            expected = f"at most {LARGEST_GROUP} tokens in a row group"
            raise CodewordError.of(expected, f"{values}", "write smaller row groups")


def _digest(raw: bytes, rows: Iterator[Batch]) -> TokenDigest:
    digest, seen = TokenDigest(raw), set[str]()
    for names, tokens in rows:
        check_names(names)
        for name in names:
            if name in seen:
                raise CodewordError.of("each name once", f"{name!r} twice", "encode the items again")
            seen.add(name)
        digest.add_many(names, tokens)
    return digest


def _rows(parquet: Any, header: Header) -> Iterator[Batch]:
    """All items in the token type of the file, their shapes and tokens checked."""
    for group in range(parquet.num_row_groups):
        facts = parquet.metadata.row_group(group)
        tokens_of_row = max(1, facts.column(len(header.grid) + 1).num_values // max(1, facts.num_rows))
        count = min(MOST_ROWS, max(1, ROW_GROUP // tokens_of_row))
        for record in parquet.iter_batches(count, row_groups=[group], use_threads=False):
            yield from batches(record, header)
