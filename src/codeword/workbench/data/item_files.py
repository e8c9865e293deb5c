"""Sources of item files: a folder, tars (WebDataset), or rows of a Hugging Face data set."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.workbench.data.files import any_file, find_files, note_others

__all__ = ["ItemFiles", "any_item", "item_files"]

FEATURES = {"pictures": "Image", "sounds": "Audio"}  # of the package datasets
MARKS = ({"dataset_dict.json"}, {"dataset_info.json", "state.json"})  # of what its save_to_disk wrote


class ItemFiles(Protocol):
    """Files by name."""

    def names(self) -> list[str]:
        """The names of all items, in order; warnings count the files that were not read.

        Raises:
            CodewordError: there is none.
        """

    def opened(self, name: str) -> Any:
        """A context with the path of a file to read. The path may be temporary."""

    def where(self, name: str) -> Path:
        """Its name in messages."""


def item_files(data: str | Path, suffixes: Sequence[str], items: str) -> ItemFiles:
    """The files of a kind at a path.

    Args:
        data: a folder, a file, a tar, a folder that has tars and no files of the kind, or a folder written by
            `save_to_disk` of Hugging Face datasets (extra `datasets`).
        suffixes: of the kind, in lower case.
        items: what they hold: "pictures" or "sounds".
    """
    place = Path(data)
    if _is_saved(place):
        return _SavedDataset(place, items)
    if tars := _tars(place, suffixes):
        return _Tars(place, tars, suffixes, items)
    return _Folder(place, suffixes, items)


def any_item(data: str | Path, suffixes: Sequence[str], items: str) -> bool:
    """Whether there are files of a kind at a path."""
    place = Path(data)
    if _is_saved(place):
        return bool(_columns(place, items))
    if any_file(place, suffixes):
        return True
    return any(
        PurePosixPath(name).suffix.lower() in suffixes
        for tar in _tars(place, suffixes)
        for name in _index(tar)
    )


class _Folder:
    def __init__(self, place: Path, suffixes: Sequence[str], items: str) -> None:
        self._place, self._suffixes, self._items = place, suffixes, items
        self._root = place if place.is_dir() else place.parent

    def names(self) -> list[str]:
        found = find_files(self._place, self._suffixes, self._items)
        return [path.relative_to(self._root).as_posix() for path in found]

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        yield self._root / name

    def where(self, name: str) -> Path:
        return self._root / name


class _Member(NamedTuple):
    offset: int
    size: int


class _Tars:
    """Members of tars, by their names; with several tars, the name of the tar without its ending comes first."""

    def __init__(self, place: Path, tars: Sequence[Path], suffixes: Sequence[str], items: str) -> None:
        self._place, self._suffixes, self._items = place, suffixes, items
        alone = len(tars) == 1 and tars[0] == place
        self._tars = {"" if alone else f"{tar.stem}/": tar for tar in tars}

    def names(self) -> list[str]:
        found = [prefix + name for prefix, tar in self._tars.items() for name in _index(tar)]
        kept = [name for name in found if PurePosixPath(name).suffix.lower() in self._suffixes]
        others = [Path(name) for name in found if PurePosixPath(name).suffix.lower() not in self._suffixes]
        if not kept:
            expected = f"{self._items} in {self._place}, with a suffix of {' '.join(self._suffixes)}"
            raise CodewordError.of(expected, f"{len(others)} other files", "name a tar that has some")
        note_others(others)
        return kept

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        tar, inside = self._found(name)
        member = _index(tar).get(inside)
        if member is None:
            raise CodewordError.of(f"{inside} in {tar}", "nothing of that name", "restore the tar")
        with open(tar, "rb") as stream:
            stream.seek(member.offset)
            content = stream.read(member.size)
        if len(content) < member.size:
            raise CodewordError.of("a whole file", "one that the end of the tar cuts", "get the tar again")
        with _as_file(content, PurePosixPath(name).suffix) as path:
            yield path

    def where(self, name: str) -> Path:
        return Path(*self._found(name))

    def _found(self, name: str) -> tuple[Path, str]:
        prefix = "" if "" in self._tars else name.partition("/")[0] + "/"
        return self._tars.get(prefix, self._place), name.removeprefix(prefix)


class _SavedDataset:
    """The rows of a data set with a column of pictures or sounds.

    Their names are the name of the split and the row number.
    """

    def __init__(self, place: Path, items: str) -> None:
        self._place = place
        self._columns = _columns(place, items)
        if len(self._columns) != len(_splits(place)) or len(set(self._columns.values())) > 1:
            feature = FEATURES[items]
            expected = f"a data set at {place} with one column of the type {feature}"
            raise CodewordError.of(expected, "none, or several", "cast or remove columns before save_to_disk")

        stored = getattr(load("datasets", "datasets"), FEATURES[items])(decode=False)
        self._rows = {
            split: rows.select_columns([self._columns[split]]).cast_column(self._columns[split], stored)
            for split, rows in _splits(place).items()
        }

    def names(self) -> list[str]:
        return [f"{split}{row:09}" for split, rows in self._rows.items() for row in range(len(rows))]

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        split, _, row = name.rpartition("/")
        split += "/" * bool(split)
        value = self._rows[split][int(row)][self._columns[split]]
        if value is None or (value["bytes"] is None and value["path"] is None):
            raise CodewordError.of("a file in each row", "none", "leave the row out")
        if value["bytes"] is None:
            yield Path(value["path"])
            return
        with _as_file(value["bytes"], PurePosixPath(value["path"] or "").suffix) as path:
            yield path

    def where(self, name: str) -> Path:
        return self._place / name


@contextmanager
def _as_file(content: bytes, suffix: str) -> Iterator[Path]:
    """Content as a temporary file during the block, because readers seek, and need the ending."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as stream:
        stream.write(content)
        stream.flush()
        yield Path(stream.name)


def _tars(place: Path, suffixes: Sequence[str]) -> list[Path]:
    if place.is_file():
        return [place] if place.suffix.lower() == ".tar" else []
    if any_file(place, suffixes):
        return []
    return sorted(path for path in place.glob("*.tar") if not path.name.startswith("."))


def _index(tar: Path) -> dict[str, _Member]:
    """The offsets and sizes of the files in a tar, in order."""
    facts = tar.stat()
    return _read_index(tar, facts.st_size, facts.st_mtime_ns)


@lru_cache(64)
def _read_index(tar: Path, size: int, changed: int) -> dict[str, _Member]:
    try:
        with tarfile.open(tar, "r:") as archive:
            return {
                one.name.removeprefix("./"): _Member(one.offset_data, one.size)
                for one in archive
                if one.isreg() and not PurePosixPath(one.name).name.startswith(".")
            }
    except (tarfile.TarError, OSError, ValueError) as error:
        raise CodewordError.of(
            f"a tar at {tar}", str(error).splitlines()[0][:200], "unpack and pack it again"
        ) from error


def _is_saved(place: Path) -> bool:
    return place.is_dir() and any(all((place / name).is_file() for name in mark) for mark in MARKS)


def _splits(place: Path) -> dict[str, Any]:
    """The data sets at a path, by the prefix of their names: nothing, or the split and a slash."""
    return _load_splits(place, place.stat().st_mtime_ns)


@lru_cache(4)
def _load_splits(place: Path, changed: int) -> dict[str, Any]:
    try:
        found = load("datasets", "datasets").load_from_disk(str(place))
    except CodewordError:
        raise
    except Exception as error:  # for missing or damaged files it raises errors of any class
        raise CodewordError.of(
            f"a data set at {place}", str(error).splitlines()[0][:200], "save it again"
        ) from error
    return {f"{split}/": rows for split, rows in found.items()} if isinstance(found, dict) else {"": found}


def _columns(place: Path, items: str) -> dict[str, str]:
    """The column of each split that holds items of a kind, of those that have exactly one."""
    kind, found = getattr(load("datasets", "datasets"), FEATURES[items]), {}
    for split, rows in _splits(place).items():
        columns = [name for name, feature in rows.features.items() if isinstance(feature, kind)]
        if len(columns) == 1:
            found[split] = columns[0]
    return found
