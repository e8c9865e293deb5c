"""Files of one kind in a folder, and what becomes of those that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codeword.errors import CodewordError

__all__ = ["Skipped", "any_file", "check_unpacked", "find_files", "none_usable", "shown"]

LITTLE = 2**28  # bytes, which any file may unpack to


@dataclass(frozen=True)
class Skipped:
    """An item that could not be used, and why."""

    path: str
    reason: str


def find_files(folder: str | Path, suffixes: Sequence[str], items: str) -> list[Path]:
    """All files in a folder and the folders in it, by suffix, in the order of their paths.

    Hidden files and folders (with a dot before the name) are left out, and links to folders are not followed.

    Args:
        folder: a folder, or one file, whatever its suffix.
        suffixes: in lower case, with their dots.
        items: what they hold, for errors: `pictures`.

    Raises:
        CodewordError: there is nothing at that path, it cannot be read, or it has no such file.
    """
    folder = Path(folder)
    try:
        if folder.is_file():
            return [folder]
        if not folder.is_dir():
            got = "something else" if folder.exists() else "nothing there"
            raise CodewordError.of(f"a folder or a file with {items} at {folder}", got, "check the path")
        paths = [path for path in _walk(folder) if path.suffix.lower() in suffixes]
    except OSError as error:
        expected = f"to read the folder {folder}"
        raise CodewordError.of(expected, error.strerror or str(error), "check its permissions") from error
    if not paths:
        expected = f"{items} in {folder}, with a suffix of {' '.join(suffixes)}"
        raise CodewordError.of(expected, "none", "name a folder that has some")
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def any_file(data: str | Path, suffixes: Sequence[str]) -> bool:
    """Whether a path is a file with one of the suffixes, or a folder that has one."""
    path = Path(data)
    found = iter([path]) if path.is_file() else _walk(path, lambda error: None)
    return any(path.suffix.lower() in suffixes for path in found)


def check_unpacked(path: Path, size: int, times: int) -> None:
    """Raise for a file of which so many bytes would come that nobody made it to be read: a decompression bomb.

    Args:
        path: the file.
        size: bytes, unpacked.
        times: how many times its own size a file of this kind may hold.
    """
    packed = path.stat().st_size
    if size > max(LITTLE, times * packed):
        expected = f"a file of {packed} bytes that unpacks to at most {times} times as many"
        raise CodewordError.of(expected, f"{size}", "unpack it first, if you trust it")


def none_usable(skipped: list[Skipped], data: str | Path, items: str) -> CodewordError:
    """The error of data of which everything was left out."""
    first = skipped[0]
    return CodewordError.of(
        f"{items} that can be used at {data}",
        f"{len(skipped)} that cannot, the first of which is {first.path} ({first.reason})",
        f"name other {items}",
    )


def shown(path: str | Path) -> str:
    """A path that can be printed, though its name be in broken Unicode."""
    return str(path).encode(errors="replace").decode()


def _refuse(error: OSError) -> None:
    raise error


def _walk(folder: Path, on_error: object = _refuse) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=on_error):  # type: ignore[arg-type]
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if (
                path.is_file() or path.is_symlink()
            ):  # a broken link is to be named; a pipe would block for ever
                yield path
