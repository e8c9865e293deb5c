"""Files of one kind in a folder, and the handling of unusable ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from warnings import warn

from codeword.errors import CodewordError, CodewordWarning, printable
from codeword.workbench.data.remote import RemotePath, path_of

__all__ = ["Skipped", "any_file", "check_unpacked", "fault_of", "find_files", "none_usable", "note_others"]

LITTLE = 2**28  # bytes that any file may unpack to
NAMED = 10  # endings that a message names; the others are only counted
RUNS = tuple({"config.json", "model.safetensors", name} for name in ("train.json", "fit.json"))
ENCODING = "encoding.json"  # beside the token files of a folder
TOKENS, FOOTER = b"codeword.header", 2**16  # in the last bytes of a token file


@dataclass(frozen=True)
class Skipped:
    """An item that could not be used, and why."""

    path: str
    reason: str

    @classmethod
    def of(cls, path: Path, error: CodewordError, read: Path | None = None) -> Skipped:
        """A file, and the error that reading it raised; `read`: the file that was read for it."""
        shown = printable(str(read or path))
        return cls(printable(str(path)), str(error).removeprefix(f"{shown}: "))


def find_files(folder: str | Path, suffixes: Sequence[str], items: str) -> list[Path]:
    """All files in a folder and the folders in it, by suffix, in the order of their paths.

    Hidden files and folders (their names begin with a dot) are left out, and so are run folders inside it. Links to
    folders are not followed. Warnings count these links, and files with other suffixes, except token files.

    Args:
        folder: a folder, or one file, whatever its suffix.
        suffixes: in lower case, with their dots.
        items: what they hold, for errors: `pictures`.

    Raises:
        CodewordError: the path does not exist, cannot be read, or has no such file.
    """
    folder = path_of(folder)
    try:
        if folder.is_file():
            return [folder]
        if not folder.is_dir():
            got = "something else" if folder.exists() else "nothing there"
            raise CodewordError.of(f"a folder or a file with {items} at {folder}", got, "check the path")
        found = list(_walk(folder))
    except OSError as error:
        expected = f"to read the folder {folder}"
        raise CodewordError.of(expected, error.strerror or str(error), "check its permissions") from error
    links = {path for path in found if path.is_symlink() and path.is_dir()}
    paths = [path for path in found if path.suffix.lower() in suffixes and path not in links]
    others = [
        path for path in found if not (path.suffix.lower() in suffixes or path in links or _is_tokens(path))
    ]
    if not paths:
        expected = f"{items} in {folder}, with a suffix of {' '.join(suffixes)}"
        got = f"none but others: {_endings(others)}" if others else "none"
        raise CodewordError.of(expected, got, "name a folder that has some")
    note_others(others)
    if links:
        what = "link to a folder was" if len(links) == 1 else "links to folders were"
        warn(f"{len(links)} {what} not followed", CodewordWarning, stacklevel=2)
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def note_others(paths: Sequence[Path]) -> None:
    """Warn of files with other endings, if there are any."""
    if paths:
        what = "file with another ending was" if len(paths) == 1 else "files with other endings were"
        warn(f"{len(paths)} {what} not looked at: {_endings(paths)}", CodewordWarning, stacklevel=3)


def any_file(data: str | Path, suffixes: Sequence[str]) -> bool:
    """Whether a path is a file with one of the suffixes, or a folder that has one."""
    path = path_of(data)
    found = iter([path]) if path.is_file() else _walk(path, lambda error: None)
    return any(path.suffix.lower() in suffixes and not path.is_dir() for path in found)


def check_unpacked(path: Path, size: int, times: int) -> None:
    """Raise for a file that would unpack to far too many bytes: a decompression bomb.

    Args:
        path: the file.
        size: bytes, unpacked.
        times: how many times its own size a file of this kind may hold.
    """
    packed = path.stat().st_size
    if size > max(LITTLE, times * packed):
        expected = f"a file of {packed} bytes that unpacks to at most {times} times as many"
        raise CodewordError.of(expected, f"{size}", "unpack it first, if you trust it")


def fault_of(path: Path, error: Exception) -> str:
    """Why a file cannot be read, in one line: it is empty, or the message of its reader."""
    if path.is_file() and not path.stat().st_size:
        return "it is empty"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(said.splitlines()[0].replace(str(path), path.name))[:200]


def none_usable(skipped: list[Skipped], data: str | Path, items: str) -> CodewordError:
    """The error for data of which no item can be used."""
    first = skipped[0]
    return CodewordError.of(
        f"{items} that can be used at {data}",
        f"{len(skipped)} that cannot, the first of which is {first.path} ({first.reason})",
        f"name other {items}",
    )


def _endings(paths: Sequence[Path]) -> str:
    """The suffixes of some files, with their counts."""
    counts = sorted(Counter(path.suffix.lower() or "no ending" for path in paths).items())
    more = [f"and {len(counts) - NAMED} more"] if len(counts) > NAMED else []
    return ", ".join([f"{ending} ({count})" for ending, count in counts[:NAMED]] + more)


def _is_tokens(path: Path) -> bool:
    """Whether a file is one that `codeword encode` wrote."""
    if path.suffix.lower() != ".parquet":
        return path.name == ENCODING
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - FOOTER))
            return TOKENS in stream.read()
    except OSError:
        return False


def _refuse(error: OSError) -> None:
    raise error


def _walk(folder: Path, on_error: object = _refuse) -> Iterator[Path]:
    if isinstance(folder, RemotePath):
        yield from folder.files()
        return
    for place, folders, names in os.walk(folder, onerror=on_error):  # type: ignore[arg-type]
        folders[:] = [name for name in folders if not name.startswith(".")]
        if (
            any(run <= set(names) for run in RUNS) and Path(place) != folder
        ):  # the picture of a run is no data
            folders.clear()
            continue
        yield from (path for path in (Path(place, name) for name in folders) if path.is_symlink())
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.is_file() or path.is_symlink():  # a broken link is reported; reading a pipe would block
                yield path
