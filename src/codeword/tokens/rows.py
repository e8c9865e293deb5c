"""From the rows of Parquet to items, with checks of every name, null, shape and range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.tokens.header import Header
from codeword.tokens.names import check_names
from codeword.tokens.opening import token_count
from codeword.tokens.table import LARGEST_SIDE, LARGEST_SIZE, ROW_GROUP, is_nested, schema

__all__ = ["Batch", "name_batches", "size_batches", "token_batches"]

MOST_ROWS = 2**16  # rows decoded at a time, where they are small

Batch = tuple[list[str], Any]
"""Names of items of equal grid, and their tokens as one numpy array (items, *grid, *trailing_shape)."""


def name_batches(parquet: Any) -> Iterator[list[str]]:
    """The names of all rows of an open Parquet file, some at a time.

    Raises:
        CodewordError: a missing or an unsafe name, or fewer rows than the footer says.
    """
    read = 0
    for record in parquet.iter_batches(MOST_ROWS, columns=["name"], use_threads=False):
        yield _names(record.column(0))
        read += len(record)
    _check_count(read, parquet)


def size_batches(parquet: Any, header: Header) -> Iterator[Any]:
    """The true sizes of all rows, int64 (rows, axes), some rows at a time.

    Raises:
        CodewordError: a missing value, one that is no size, or fewer rows than the footer says.
    """
    read, names = 0, list(header.size_names)
    for record in parquet.iter_batches(MOST_ROWS, columns=names, use_threads=False):
        kind = load("pyarrow", "tokens").int64()
        yield _sizes([_as_ours(record.column(name), kind) for name in names], len(record))
        read += len(record)
    _check_count(read, parquet)


def token_batches(parquet: Any, header: Header) -> Iterator[tuple[list[str], Any, Any]]:
    """All items of an open Parquet file, in order, neighbours of equal grid together, in the token type of the header.

    Behind names and tokens come the true sizes, int64 (items, axes), or None where the file has none.

    Raises:
        CodewordError: a missing value, an unsafe name, tokens that do not fill the grid, a token outside of its
            codebook, or fewer rows than the footer says.
    """
    layout, read = schema(header), 0
    for group in range(parquet.num_row_groups):
        rows = max(1, parquet.metadata.row_group(group).num_rows)
        count = min(MOST_ROWS, max(1, ROW_GROUP * rows // max(1, token_count(parquet, group))))
        for record in parquet.iter_batches(
            count, row_groups=[group], columns=layout.names, use_threads=False
        ):
            yield from _items([_as_ours(record.column(one.name), one.type) for one in layout], header)
            read += len(record)
    _check_count(read, parquet)


def _check_count(read: int, parquet: Any) -> None:
    if read != parquet.metadata.num_rows:
        remedy = "encode the items again or fetch the file again"
        raise CodewordError.of(f"{parquet.metadata.num_rows} rows, as its footer says", f"{read}", remedy)


def _as_ours(column: Any, kind: Any) -> Any:
    """A column as a token file of ours has it: other programs write wider lists and integers."""
    column = column if column.type == kind else column.cast(kind)
    if any(level.null_count for level in _levels(column)):
        raise CodewordError.of("a value in every cell", "missing ones", "encode the items again")
    return column


def _names(column: Any) -> list[str]:
    names: list[str] = _as_ours(column, load("pyarrow", "tokens").string()).to_pylist()
    check_names(names)
    return names


def _sizes(columns: list[Any], rows: int) -> Any:
    sizes: Any = np.array([np.from_dlpack(column) for column in columns], np.int64).reshape(-1, rows).T
    if ((sizes < 1) | (sizes > LARGEST_SIZE)).any():
        expected, got = "true sizes from 1 to 2^40", f"{sizes.min()} to {sizes.max()}"
        raise CodewordError.of(expected, got, "encode the items again")
    return sizes


def _items(columns: list[Any], header: Header) -> Iterator[tuple[list[str], Any, Any]]:
    names, *both, lists = columns
    sides, true = both[: len(header.grid)], both[len(header.grid) :]
    sizes = _sizes(true, len(names)) if true else None
    grids = np.array([np.from_dlpack(side) for side in sides], np.int64).reshape(len(sides), len(names)).T
    values, begins, wrong = _unnest(lists, grids, header)
    names = _names(names)
    wrong |= ((grids < 1) | (grids > LARGEST_SIDE)).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise _ill_fitting(names[row], int(begins[row + 1] - begins[row]), grids[row].tolist(), header)
    ends = [*(np.flatnonzero((grids[1:] != grids[:-1]).any(axis=1)) + 1).tolist(), len(names)]
    begin = 0
    for end in ends if names else ():
        tokens = values[begins[begin] : begins[end]]
        found = _shaped(tokens, end - begin, grids[begin].tolist(), header)
        yield names[begin:end], found, None if sizes is None else sizes[begin:end]
        begin = end


def _levels(lists: Any) -> Iterator[Any]:
    """A list array, the array of what is in its lists, and so on."""
    yield lists
    while hasattr(lists, "offsets"):
        lists = lists.values
        yield lists


def _unnest(lists: Any, grids: Any, header: Header) -> tuple[Any, Any, Any]:
    """All values, where each item begins in them, and which items do not have as many as their grid wants."""
    positions, codebooks = grids.prod(axis=1), header.tokens_per_position
    offsets: Any = np.from_dlpack(
        lists.offsets
    )  # `to_numpy` imports pandas where it is installed, for a second
    if not is_nested(header):
        return np.from_dlpack(lists.values), offsets, offsets[1:] - offsets[:-1] != positions * codebooks
    inner = lists.values
    begins: Any = np.from_dlpack(inner.offsets)
    wrong = offsets[1:] - offsets[:-1] != codebooks
    if not wrong.any():
        lengths = begins[1:] - begins[:-1]
        of_items = lengths[offsets[0] : offsets[-1]].reshape(-1, codebooks)
        wrong = (of_items != positions[:, None]).any(axis=1)
    return np.from_dlpack(inner.values), begins[offsets], wrong


def _shaped(values: Any, items: int, grid: list[int], header: Header) -> Any:
    codebooks = header.tokens_per_position
    if is_nested(header):
        values = values.reshape(items, codebooks, -1).transpose(0, 2, 1)
    rows = values.reshape(-1, codebooks)
    for largest, size in zip(rows.max(axis=0).tolist(), header.codebook_sizes, strict=True):
        if largest >= size:
            remedy = "encode the items again"
            raise CodewordError.of(f"tokens below the codebook size {size}", f"{largest}", remedy)
    return rows.reshape(items, *grid, *header.trailing_shape)


def _ill_fitting(name: str, count: int, grid: list[int], header: Header) -> CodewordError:
    wanted = " x ".join([*header.grid, str(header.tokens_per_position)])
    sides = f" for {' x '.join(map(str, grid))}" if grid else ""
    lists = f" in {header.tokens_per_position} lists of equal length" if is_nested(header) else ""
    expected = f"{wanted} tokens{lists} for {name!r:.80}"
    return CodewordError.of(expected, f"{count}{sides}", "encode the items again")
