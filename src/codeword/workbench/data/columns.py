"""Which columns of a table are the numbers of a vector, and which names the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from codeword.errors import CodewordError

__all__ = ["name_column", "named_columns", "say_columns", "unnamed"]

NAMES = (
    "item_id",
    "id",
    "name",
)  # columns that name the rows, in any case of letters, the first that there is
NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)
LISTED, MOST = 8, 30  # columns that are named one by one: of a family, of others


def named_columns(wanted: str, columns: Mapping[str, str | None], path: Path) -> list[str]:
    """The columns of numbers that are asked for, in that order; those of a pattern in the order of their numbers.

    Args:
        wanted: names with commas between them, in which `*` stands for anything: `d*`, `x,y`.
        columns: all of numbers: why one cannot be read, if it cannot.
        path: of the table, for errors.

    Raises:
        CodewordError: one that is not there, that comes twice, or that cannot be read.

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
    """What to raise for a table whose numbers have columns of their own, of which none was named."""
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
    remedy = (
        f"name them: {path}::{','.join(words)}, or, of fit and ids, --columns {' '.join(map(repr, words))}"
    )
    return CodewordError.of(expected, got, remedy)


def _named(family: str, members: Sequence[str]) -> str:
    return family if len(members) == 1 and "*" not in family else _listed(members)


def name_column(schema: Any, wanted: str | None, path: Path) -> str | None:
    """The column that names the rows: the one that is wanted, or `item_id`, `id`, `name`, or pandas' index.

    Raises:
        CodewordError: the one that is wanted is not there, or has no single values.
    """
    if wanted is not None:
        if wanted not in schema.names:
            expected = f"a column {wanted!r} to name the rows of {path}"
            raise CodewordError.of(expected, _listed(schema.names), "pass --names with one of them")
        if schema.field(wanted).type.num_fields:
            got = f"{schema.field(wanted).type}"
            raise CodewordError.of(f"single values in the column {wanted} of {path}", got, "name another")
        return wanted
    lower = {name.lower(): name for name in reversed(schema.names)}
    return next((lower[name] for name in NAMES if name in lower), _pandas_index(schema))


def say_columns(taken: Sequence[str], names: str | None, others: Sequence[str]) -> str:
    """What of a table is the vector, what names the rows, and what is left out.

    Examples:
        >>> say_columns([f"d{number}" for number in range(24)], "id", ["price"])
        'vectors of the columns d0 ... d23 (24); names of the column id; left out: price'
    """
    named = f"; names of the column {names}" if names is not None else ""
    left_out = f"; left out: {_listed(others)}" if others else ""
    return f"vectors of the column{'s' * (len(taken) != 1)} {_listed(taken)}{named}{left_out}"


def _pandas_index(schema: Any) -> str | None:
    """The one column that pandas has written its index to, if there is one."""
    try:
        index = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        columns = [name for name in index if isinstance(name, str) and name in schema.names]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return columns[0] if len(columns) == 1 and not schema.field(columns[0]).type.num_fields else None


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
