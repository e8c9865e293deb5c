"""Which columns of a table hold the numbers of a vector, and which one names the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from codeword.errors import CodewordError

__all__ = ["named_columns", "row_names", "say_columns", "unnamed"]

NAMES = (
    "item_id",
    "id",
    "name",
)  # columns that name the rows, in upper or lower case; the first one that exists is used
NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)
LISTED, MOST = 8, 30  # columns that a message lists one by one: of a family, of others


def named_columns(wanted: str, columns: Mapping[str, str | None], path: Path) -> list[str]:
    """The requested columns of numbers, in that order; those of a pattern in the order of their numbers.

    Args:
        wanted: names separated by commas, in which `*` matches anything: `d*`, `x,y`.
        columns: all of numbers: why one cannot be read, if it cannot.
        path: of the table, for errors.

    Raises:
        CodewordError: a column does not exist, comes twice, or cannot be read.

    Examples:
        >>> named_columns("d*", {"d10": None, "price": None, "d2": None}, Path("items.parquet"))
        ['d2', 'd10']
        >>> named_columns("x,y", {"y": None, "x": None, "label": "int64"}, Path("items.parquet"))
        ['x', 'y']
    """
    found: list[str] = []
    for word in wanted.split(","):
        fitting = [word] if word in columns else sorted(filter(_like(word), columns), key=_by_number)
        if not fitting:
            expected = f"a column of numbers {word!r} in {path}"
            raise CodewordError.of(expected, _listed(list(columns)) or "none", "name columns that there are")
        found += fitting
    for name in found:
        if columns[name] is not None:
            expected = f"floats, or integers of 8 or 16 bits, in {_listed(found)} of {path}"
            raise CodewordError.of(expected, f"{columns[name]} in {name}", "convert it")
        if found.count(name) > 1:
            raise CodewordError.of(f"each column of {path} once", f"{name} again", "name it once")
    return found


def unnamed(columns: Sequence[str], path: Path) -> CodewordError:
    """The error for a table with a column for each number, if no column was named."""
    families: dict[str, list[str]] = {}
    for name in columns:
        found = NUMBERED.fullmatch(name)
        families.setdefault(f"{found[1]}*" if found and found[1] else name, []).append(name)
    largest = max(families, key=lambda family: len(families[family]))
    words = [largest] if len(families[largest]) > 1 else list(columns[:2])
    expected = f"a column of lists of numbers in {path}, or the names of the columns that make a vector"
    got = (
        f"columns of one number each: {_listed([_named(family, some) for family, some in families.items()])}"
    )
    quoted = " ".join(map(repr, words))
    remedy = f"name them: {path}::{','.join(words)}, or, of fit, train, encode and ids, --columns {quoted}"
    return CodewordError.of(expected, got, remedy)


def _named(family: str, members: Sequence[str]) -> str:
    return family if len(members) == 1 and "*" not in family else _listed(members)


def row_names(schema: Any, rows: int, wanted: str | None, path: Path) -> str | range | None:
    """The source of the row names: the requested column, `item_id`, `id`, `name`, or pandas' index.

    None: there is none.

    Raises:
        CodewordError: the requested column does not exist, or its values are not scalars.
    """
    index, span = _pandas_index(schema, rows)
    if wanted is None:
        single = [field.name for field in schema if not field.type.num_fields]
        lower = {name.lower(): name for name in reversed(single)}
        return next((lower[name] for name in NAMES if name in lower), index if span is None else span)
    if wanted == index and span is not None:
        return span
    if wanted not in schema.names:
        expected = f"a column {wanted!r} to name the rows of {path}"
        raise CodewordError.of(expected, _listed(schema.names), "pass --names with one of them")
    if schema.field(wanted).type.num_fields:
        got = f"{schema.field(wanted).type}"
        raise CodewordError.of(f"single values in the column {wanted} of {path}", got, "name another")
    return wanted


def say_columns(taken: Sequence[str], names: str | range | None, others: Sequence[str]) -> str:
    """One line about a table: the columns of the vector, the source of the names, and the columns that are left out.

    Examples:
        >>> say_columns([f"d{number}" for number in range(24)], "id", ["price"])
        'vectors of the columns d0 ... d23 (24); names of the column id; left out: price'
        >>> say_columns(["vector"], None, [])
        'vectors of the column vector; the rows are named by their numbers'
    """
    named = f"; names of the {'index' if isinstance(names, range) else f'column {names}'}"
    named = named if names else "; the rows are named by their numbers"
    left_out = f"; left out: {_listed(others)}" if others else ""
    return f"vectors of the column{'s' * (len(taken) != 1)} {_listed(taken)}{named}{left_out}"


def _pandas_index(schema: Any, rows: int) -> tuple[str | None, range | None]:
    """The column that holds pandas' index, or the name and range of an index with equal steps.

    Numbers 0, 1, 2, ... without a name are those of a table without an index.
    """
    try:
        (index,) = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        if isinstance(index, str):
            known = index in schema.names and not schema.field(index).type.num_fields
            return (index if known else None), None
        name, start, step = index["name"], int(index["start"]), int(index["step"])
        plain = name is None and (start, step) == (0, 1)
        return name, None if plain else range(start, start + step * rows, step)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None, None


def _like(pattern: str) -> Any:
    return lambda name: fnmatchcase(name, pattern)


def _by_number(name: str) -> tuple[str, int]:
    found = NUMBERED.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, -1)


def _listed(names: Sequence[str]) -> str:
    if len(names) > LISTED and all(map(NUMBERED.fullmatch, names)):
        return f"{names[0]} ... {names[-1]} ({len(names)})"
    more = [f"and {len(names) - MOST} more"] if len(names) > MOST else []
    return ", ".join([*names[:MOST], *more])
