"""From the rows of Parquet to items: every null, shape and range checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.tokens.header import Header
from codeword.tokens.table import LARGEST_SIDE, is_nested

__all__ = ["Batch", "batches"]

Batch = tuple[list[str], Any]
"""Names of items of equal grid, and their tokens as one numpy array (items, *grid, *trailing_shape)."""


def batches(record: Any, header: Header) -> Iterator[Batch]:
    """The items of an Arrow record batch, in order, neighbours of equal grid together.

    Raises:
        CodewordError: a missing value, tokens that do not fill the grid, a token outside of its codebook.
    """
    np = load("numpy", "tokens")
    names, *sides, lists = record.columns
    if any(column.null_count for column in (names, *sides, *_levels(lists))):
        raise CodewordError.of("a value in every cell", "missing ones", "encode the items again")
    grids = np.array([side.to_numpy() for side in sides], np.int64).reshape(len(sides), len(names)).T
    values, begins, wrong = _unnest(lists, grids, header)
    names = names.to_pylist()
    wrong |= ((grids < 1) | (grids > LARGEST_SIDE)).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise _ill_fitting(names[row], int(begins[row + 1] - begins[row]), grids[row].tolist(), header)
    ends = [*(np.flatnonzero((grids[1:] != grids[:-1]).any(axis=1)) + 1).tolist(), len(names)]
    begin = 0
    for end in ends if names else ():
        tokens = values[begins[begin] : begins[end]]
        yield names[begin:end], _shaped(tokens, end - begin, grids[begin].tolist(), header)
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
    offsets = lists.offsets.to_numpy()
    if not is_nested(header):
        return lists.values.to_numpy(), offsets, offsets[1:] - offsets[:-1] != positions * codebooks
    inner = lists.values
    begins = inner.offsets.to_numpy()
    wrong = offsets[1:] - offsets[:-1] != codebooks
    if not wrong.any():
        lengths = begins[1:] - begins[:-1]
        of_items = lengths[offsets[0] : offsets[-1]].reshape(-1, codebooks)
        wrong = (of_items != positions[:, None]).any(axis=1)
    return inner.values.to_numpy(), begins[offsets], wrong


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
