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
from codeword.tokens.names import check_name
from codeword.tokens.seal import check_seal
from codeword.tokens.table import DIGEST_KEY, HEADER_KEY, LARGEST_GROUP, LARGEST_SIDE, schema

__all__ = ["TokenFile"]

ROWS = 256  # rows decoded at a time
LONGEST_STRING = 2**20  # bytes of one string in the footer


class TokenFile:
    """A token file whose header, names, shapes, tokens and digest have been verified.

    Opening it takes one pass over the file; memory holds some hundred items and the names. Each iteration
    reads the file anew, and refuses one that has changed since.

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
        """Pairs of name and tokens: an int64 numpy array of shape (height, width, *trailing_shape)."""
        with _naming(self.path), open(self.path, "rb") as stream:
            if _identity(stream) != self._identity:
                raise CodewordError.of("the file as it was when opened", "a changed one", "open it again")
            for name, tokens in _rows(_open(stream), self.header):
                yield name, tokens.astype("int64")


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
        values = parquet.metadata.row_group(group).column(3).num_values
        if values > LARGEST_GROUP:
            expected = f"at most {LARGEST_GROUP} tokens in a row group"
            raise CodewordError.of(expected, f"{values}", "write smaller row groups")


def _digest(raw: bytes, rows: Iterator[tuple[str, Any]]) -> TokenDigest:
    digest, names = TokenDigest(raw), set()
    for name, tokens in rows:
        check_name(name)
        if name in names:
            raise CodewordError.of("each name once", f"{name!r} twice", "encode the items again")
        names.add(name)
        digest.add(name, tokens)
    return digest


def _rows(parquet: Any, header: Header) -> Iterator[tuple[str, Any]]:
    """Every item in the token type of the file, its shape and its tokens checked."""
    for group in range(parquet.num_row_groups):
        for batch in parquet.iter_batches(ROWS, row_groups=[group], use_threads=False):
            yield from _items(batch, header)


def _items(batch: Any, header: Header) -> Iterator[tuple[str, Any]]:
    names, heights, widths, lists = batch.columns
    if any(column.null_count for column in (names, heights, widths, lists, lists.values)):
        raise CodewordError.of("a value in every cell", "missing ones", "encode the items again")
    heights, widths = heights.to_numpy().astype("int64"), widths.to_numpy().astype("int64")
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    positions = header.tokens_per_position
    sides = (heights >= 1) & (heights <= LARGEST_SIDE) & (widths >= 1) & (widths <= LARGEST_SIDE)
    wrong = ~sides | (offsets[1:] - offsets[:-1] != heights * widths * positions)
    names = names.to_pylist()
    if wrong.any():
        row = int(wrong.argmax())
        expected = f"height x width x {positions} tokens for {names[row]!r:.80}"
        got = f"{offsets[row + 1] - offsets[row]} for {heights[row]} x {widths[row]}"
        raise CodewordError.of(expected, got, "encode the items again")
    _check_range(values[offsets[0] : offsets[-1]], header)
    for row, name in enumerate(names):
        shape = (int(heights[row]), int(widths[row]), *header.trailing_shape)
        yield name, values[offsets[row] : offsets[row + 1]].reshape(shape)


def _check_range(values: Any, header: Header) -> None:
    for position, size in enumerate(header.codebook_sizes):
        largest = int(values[position :: header.tokens_per_position].max())
        if largest >= size:
            remedy = "encode the items again"
            raise CodewordError.of(f"tokens below the codebook size {size}", f"{largest}", remedy)
