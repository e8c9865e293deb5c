"""Opening token files: their metadata and columns, and what every fault of reading is turned into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.tokens.header import Header
from codeword.tokens.table import DIGEST_KEY, HEADER_KEY, LARGEST_GROUP, schema

__all__ = ["check_layout", "identity", "metadata", "naming", "open_parquet", "token_count"]

LONGEST_STRING = 2**20  # bytes of one string in the footer


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
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


def identity(stream: BinaryIO) -> tuple[int, ...]:
    """What differs between two files, or one file before and after it was written to."""
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_parquet(stream: Any) -> Any:
    """The Arrow reader of a file; it reads the footer only."""
    parquet = load("pyarrow.parquet", "tokens")
    stream.seek(0)
    return parquet.ParquetFile(
        stream, page_checksum_verification=True, thrift_string_size_limit=LONGEST_STRING, pre_buffer=False
    )


def metadata(parquet: Any) -> tuple[bytes, str | None]:
    """The header as it is stored, and the digest, if there is one.

    Raises:
        CodewordError: no header.
    """
    entries = parquet.metadata.metadata or {}
    if HEADER_KEY not in entries:
        expected = f"a token file, with {HEADER_KEY.decode()} in its metadata"
        remedy = (
            "pass a file that codeword encode wrote; a program that writes one anew has to copy the metadata"
        )
        raise CodewordError.of(expected, "Parquet of another kind", remedy)
    digest = entries.get(DIGEST_KEY)
    return entries[HEADER_KEY], None if digest is None else digest.decode("ascii", "replace")


def check_layout(parquet: Any, header: Header) -> None:
    """Check that the columns of a token file are there and can be read as what `schema` says; others may be as well.

    Raises:
        CodewordError: they cannot; or a row group that no memory may hold.
    """
    expected, found = schema(header), parquet.schema_arrow
    names = found.names
    if any(
        names.count(one.name) != 1 or not _alike(found.field(one.name).type, one.type) for one in expected
    ):
        columns = ", ".join(f"{field.name}: {field.type}" for field in found)
        wanted = ", ".join(f"{field.name}: {field.type}" for field in expected)
        raise CodewordError.of(f"the columns {wanted}", f"{columns:.300}", "encode the items again")
    for group in range(parquet.num_row_groups):
        values = token_count(parquet, group)
        if values > LARGEST_GROUP:
            limit = f"at most {LARGEST_GROUP} tokens in a row group"
            raise CodewordError.of(limit, f"{values}", "write smaller row groups")


def token_count(parquet: Any, group: int) -> int:
    """How many tokens a row group has, as its footer says."""
    columns = parquet.metadata.schema
    own = [number for number in range(len(columns)) if columns.column(number).path.startswith("tokens.")]
    facts = parquet.metadata.row_group(group)
    return sum(facts.column(number).num_values for number in own)


def _alike(found: Any, wanted: Any) -> bool:
    """Whether Arrow casts values of a type that other programs write into ours, or refuses those that do not fit."""
    kinds = load("pyarrow", "tokens").types
    if kinds.is_list(wanted):
        is_list = kinds.is_list(found) or kinds.is_large_list(found) or kinds.is_fixed_size_list(found)
        return is_list and _alike(found.value_type, wanted.value_type)
    if kinds.is_dictionary(found):
        found = found.value_type
    if kinds.is_integer(wanted):
        return bool(kinds.is_integer(found))
    return bool(kinds.is_string(found) or kinds.is_large_string(found) or kinds.is_string_view(found))
