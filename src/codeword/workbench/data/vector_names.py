"""Names of rows of vectors: from their files, or their row numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from codeword.errors import CodewordError
from codeword.tokens import check_name

__all__ = ["RowNumbers", "check_once", "fault_of_name", "rows_of"]


class RowNumbers(Sequence[str]):
    """Names that are row numbers, created on access."""

    def __init__(self, starts: list[int], prefixes: list[str]) -> None:
        self.starts, self.prefixes = starts, prefixes

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        file = next(n for n, end in enumerate(self.starts[1:]) if number < end)
        return f"{self.prefixes[file]}{number - self.starts[file]}"

    def numbers(self, names: Sequence[str]) -> list[int]:
        """The rows of some names, in order."""
        starts = dict(zip(self.prefixes, self.starts, strict=False))
        split = (name.rpartition("/") for name in names)
        return sorted(starts[folder + slash] + int(number) for folder, slash, number in split)


def rows_of(whole: Sequence[str], names: Sequence[str]) -> list[int]:
    """The numbers of the rows that have some of the names, in order."""
    if isinstance(whole, RowNumbers):
        return whole.numbers(names)
    wanted = set(names)
    return [number for number, name in enumerate(whole) if name in wanted]


def fault_of_name(name: str | None) -> str | None:
    """Why a name is not allowed for an item; None if it is."""
    if not name:
        return "no name"
    try:
        check_name(name)
    except CodewordError as error:
        return str(error)
    return None


def check_once(names: Sequence[str], data: str) -> None:
    """Raise if a name comes twice."""
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise CodewordError.of(f"each name once in {data}", f"{name!r} again", "rename one of the rows")
        seen.add(name)
