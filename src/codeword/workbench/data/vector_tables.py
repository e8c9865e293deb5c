"""Vectors in Parquet: a column of lists, or a column for each number."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.workbench.data.columns import named_columns, row_names, say_columns, unnamed
from codeword.workbench.data.files import check_unpacked
from codeword.workbench.data.parquet_footer import held_by
from codeword.workbench.data.remote import RemotePath
from codeword.workbench.data.vector_files import PACKED, Part, VectorFile, as_float32, choose

__all__ = ["open_parquet"]

TOKENS = b"codeword.header"  # in the metadata of a token file


class _Table(VectorFile):
    """A Parquet file, read by row groups; the file names its rows if it has a `name_column`
    or an `index` of pandas."""

    anywhere = False

    def __init__(self, path: Path, column: str | None, names: str | None) -> None:
        parquet = load("pyarrow.parquet", "tokens").ParquetFile(_opened(path))
        if TOKENS in (parquet.metadata.metadata or {}):
            raise CodewordError.of(f"vectors in {path}", "tokens", "name the file that was encoded")
        schema = parquet.schema_arrow
        found = row_names(schema, parquet.metadata.num_rows, names, path)
        self.name_column = found if isinstance(found, str) else None
        self.index = found if isinstance(found, range) else None
        self.named = found is not None
        self.columns = _columns(schema, column, self.name_column, path)
        others = [name for name in schema.names if name not in self.columns and name != self.name_column]
        _check_size(parquet, {*self.columns, self.name_column}, path)
        self.lists = _is_list(schema.field(self.columns[0]).type)
        features = self._first_width(parquet) if self.lists else len(self.columns)
        super().__init__(path, parquet.metadata.num_rows, features)
        self.chosen = say_columns(self.columns, found, others)

    def parts(self, begin: int, end: int, size: int) -> Iterator[Part]:
        parquet = self._open()
        wanted = [*self.columns, *filter(None, [self.name_column])]
        first = 0
        for group in range(parquet.num_row_groups):
            last = first + parquet.metadata.row_group(group).num_rows
            if begin < last and first < end:
                at = first
                for batch in parquet.iter_batches(
                    size, row_groups=[group], columns=wanted, use_threads=False
                ):
                    start = max(begin, at)
                    part = batch.slice(start - at, max(0, min(end, at + len(batch)) - start))
                    if len(part):
                        yield self._part(part, start)
                    at += len(batch)
            first = last

    def names(self) -> list[str | None]:
        if self.index is not None:
            return [f"{number}" for number in self.index]
        batches = self._open().iter_batches(columns=[self.name_column], use_threads=False)
        return [name for batch in batches for name in _as_names(batch.column(0))]

    def _open(self) -> Any:
        # Names stay dictionary-encoded: a long name that all rows share would be copied for each row.
        names = None if self.name_column is None else [self.name_column]
        return load("pyarrow.parquet", "tokens").ParquetFile(_opened(self.path), read_dictionary=names)

    def _part(self, batch: Any, first: int) -> Part:
        names: list[str | None] | None = None
        if self.name_column is not None:
            names = _as_names(batch.column(self.name_column))
        elif self.index is not None:
            names = [f"{number}" for number in self.index[first : first + len(batch)]]
        if self.lists:
            return Part(*_from_lists(batch.column(self.columns[0]), self.features, names))
        columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in self.columns]
        return Part(as_float32(np.stack(columns, 1)), names)

    def _first_width(self, parquet: Any) -> int:
        """The length of the first vector."""
        for batch in parquet.iter_batches(1024, columns=self.columns):
            lengths = load("pyarrow.compute", "tokens").list_value_length(batch.column(0)).drop_null()
            if len(lengths):
                return int(lengths[0].as_py())
        return 0


def open_parquet(path: Path, column: str | None, names: str | None) -> VectorFile:
    """A Parquet file with vectors in its only column of lists, or in what `column` names: one of several columns of
    lists, or columns of one number each, as `named_columns`. `names`: of the column that names the rows.

    Raises:
        CodewordError: there are no vectors, or it is ambiguous which columns they are; pyarrow.ArrowException, OSError:
            a damaged file.
    """
    return _Table(path, column, names)


def _opened(path: Path) -> Any:
    """What pyarrow reads."""
    return path.open("rb") if isinstance(path, RemotePath) else path


def _columns(schema: Any, column: str | None, names: str | None, path: Path) -> list[str]:
    lists = [
        field.name
        for field in schema
        if _is_list(field.type) and _is_number(field.type.value_type) and field.name != names
    ]
    types = load("pyarrow", "tokens").types
    numbers = {
        field.name: None if _is_number(field.type) else f"{field.type}"
        for field in schema
        if (types.is_floating(field.type) or types.is_integer(field.type)) and field.name != names
    }
    if column is not None and column not in lists and (numbers and (not lists or _any_of(numbers, column))):
        return named_columns(column, numbers, path)
    if column is not None or len(lists) > 1:
        return [choose(lists, column, path, "columns of lists of numbers")]
    readable = [name for name, fault in numbers.items() if fault is None]
    if not lists and readable:
        raise unnamed(readable, path)
    if not lists:
        expected = f"a column of lists of numbers, or columns of numbers, in {path}"
        got = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise CodewordError.of(expected, f"{got:.200}", "write floats, or integers of 8 or 16 bits")
    return lists


def _any_of(numbers: Collection[str], wanted: str) -> bool:
    """Whether some of the requested columns hold numbers."""
    return any(word in numbers or "*" in word for word in wanted.split(","))


def _check_size(parquet: Any, columns: Collection[str | None], path: Path) -> None:
    """Raise for a file with too many numbers for any memory, and for an inconsistent footer."""
    leaves = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
    lists = tuple(f"{column}." for column in columns)
    wanted = {number for number, leaf in enumerate(leaves) if leaf in columns or leaf.startswith(lists)}
    held = held_by(path, wanted)
    check_unpacked(path, max(4 * held.values, held.unpacked), PACKED)


def _as_names(column: Any) -> list[str | None]:
    """The strings of a column; in a dictionary-encoded column equal ones are one object."""
    words = column.dictionary.to_pylist() if hasattr(column, "dictionary") else column.to_pylist()
    names = [None if word is None else _as_name(word) for word in words]
    if not hasattr(column, "dictionary"):
        return names
    return [None if place is None else names[place] for place in column.indices.to_pylist()]


def _as_name(word: Any) -> str:
    """A value of any type as a name; integers that pandas has converted to floats become integers again."""
    if isinstance(word, bytes):
        try:
            return word.decode()
        except UnicodeDecodeError:
            return word.hex()
    return str(int(word)) if isinstance(word, float) and word.is_integer() else str(word)


def _is_list(kind: Any) -> bool:
    types = load("pyarrow", "tokens").types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    types = load("pyarrow", "tokens").types
    return bool(types.is_floating(kind) or (types.is_integer(kind) and kind.bit_width <= 16))


def _from_lists(
    column: Any, features: int, names: list[str | None] | None
) -> tuple[np.ndarray, list[str | None] | None, dict[int, str]]:
    """Rows of a column of lists; a missing row, or one of another length, becomes NaN and a fault."""
    missing = column.is_null().to_numpy(zero_copy_only=False)
    lengths = load("pyarrow.compute", "tokens").list_value_length(column).fill_null(0)
    lengths = np.where(missing, 0, lengths.to_numpy(zero_copy_only=False))
    values = as_float32(column.flatten().to_numpy(zero_copy_only=False))  # leaves out the missing ones
    good = (lengths == features) & ~missing
    if good.all():
        return values.reshape(-1, features), names, {}
    rows = np.full((len(column), features), np.nan, np.float32)
    rows[good] = values[np.repeat(good, lengths)].reshape(-1, features)
    faults = {
        int(place): "no vector" if missing[place] else f"{lengths[place]} numbers, others have {features}"
        for place in np.flatnonzero(~good)
    }
    return rows, names, faults
