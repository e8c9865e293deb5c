"""Which columns of a table are the numbers of a vector, where each number has a column of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from codeword.errors import CodewordError

__all__ = ["say_columns", "vector_columns"]

NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)
LISTED, MOST = 8, 30  # columns that are named one by one: of a family, of others


def vector_columns(columns: Mapping[str, str | None], path: Path) -> list[str]:
    """The columns of a family `d0`, `d1`, ... in the order of their numbers; where there is none all that can be read.

    Args:
        columns: those of numbers: why one cannot be read, if it cannot.
        path: of the table, for errors.

    Raises:
        CodewordError: several families, or one with a column that cannot be read.

    Examples:
        >>> vector_columns({"d10": None, "price": None, "d2": None}, Path("items.parquet"))
        ['d2', 'd10']
        >>> vector_columns({"x": None, "y": None, "label": "int64"}, Path("items.parquet"))
        ['x', 'y']
    """
    families: dict[str, list[str]] = {}
    for name in columns:
        if found := NUMBERED.fullmatch(name):
            families.setdefault(found[1], []).append(name)
    readable = [
        family
        for family in families.values()
        if len(family) > 1 and any(columns[name] is None for name in family)
    ]
    if not readable:
        return [name for name, fault in columns.items() if fault is None]
    if len(readable) > 1:
        expected = f"one family of numbered columns in {path}"
        raise CodewordError.of(
            expected, " and ".join(map(_listed, readable)), "write those of the vectors alone"
        )
    for name in readable[0]:
        if columns[name] is not None:
            expected, remedy = (
                f"floats, or integers of 8 or 16 bits, in {_listed(readable[0])} of {path}",
                "convert it",
            )
            raise CodewordError.of(expected, f"{columns[name]} in {name}", remedy)
    return sorted(readable[0], key=lambda name: int(NUMBERED.fullmatch(name)[2]))  # type: ignore[index]


def say_columns(taken: Sequence[str], others: Sequence[str]) -> str:
    """What of a table is the vector, and what is left out.

    Examples:
        >>> say_columns([f"d{number}" for number in range(24)], ["price"])
        'vectors of the columns d0 ... d23 (24); left out: price'
    """
    left_out = f"; left out: {_listed(others)}" if others else ""
    return f"vectors of the column{'s' * (len(taken) != 1)} {_listed(taken)}{left_out}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > LISTED and all(map(NUMBERED.fullmatch, names)):
        return f"{names[0]} ... {names[-1]} ({len(names)})"
    more = [f"and {len(names) - MOST} more"] if len(names) > MOST else []
    return ", ".join([*names[:MOST], *more])
