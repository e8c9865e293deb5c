"""Files that are either whole or absent: written beside their place and renamed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from codeword.errors import CodewordError

__all__ = ["TEMPORARY", "make_folder", "replacing", "write_whole", "writing"]

TEMPORARY = ".codeword-*.tmp"
"""The name of a file that is not whole yet; one that is left was of a process that was killed."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file, to write and read, which takes the name `path` when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed, together with the folders that were made
    for it, and a file that had the name before stays as it was. Missing parent folders are made.

    Raises:
        CodewordError: the place cannot be written to: a full disk, a folder or a device of that name, no
            permission.

    Examples:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(f"{folder}/deep/note.txt") as stream:
        ...         _ = stream.write(b"whole")
        ...     pathlib.Path(folder, "deep", "note.txt").read_text()
        'whole'
    """
    path = Path(path)
    if not path.name:
        raise CodewordError.of("the name of a file", f"{str(path)!r}, a folder", "add a name to it")
    # A short name of its own: that of `path` with something added could be too long for the file system.
    temporary = path.with_name(TEMPORARY.replace("*", secrets.token_hex(6)))
    made: list[Path] = []
    stream: BinaryIO | None = None
    try:
        with writing(path):
            _check_place(path)
            _make_folders(path.parent, made)
            stream = open(temporary, "x+b")  # noqa: SIM115  closed below, in both outcomes
        yield stream
        with writing(path):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            os.replace(temporary, path)
    except BaseException:
        _remove(temporary, stream, made)
        raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which writes `path`, into a CodewordError that says why."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space or choose another place (nothing half-written was left behind)"
            raise CodewordError.of(f"room for {path}", f"a full disk ({reason})", remedy) from error
        raise CodewordError.of(f"to write {path}", reason, "choose another place") from error


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file so that at any moment the old one or the new one is there, whole.

    Raises:
        CodewordError: as `replacing`.
    """
    with replacing(path) as stream, writing(Path(path)):
        stream.write(content)


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Make a folder, with its parents, unless it is there.

    Raises:
        CodewordError: a file of that name is there, or the disk refuses.
    """
    path = Path(folder)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def _check_place(path: Path) -> None:
    # Renaming onto /dev/null would replace the device by a file.
    if path.exists() and not path.is_file():
        got = "a folder of that name" if path.is_dir() else "something that is no ordinary file"
        raise CodewordError.of(f"a file name to write to, {path}", got, "choose another name")


def _make_folders(folder: Path, made: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.append(folder)


def _remove(temporary: Path, stream: BinaryIO | None, made: list[Path]) -> None:
    if stream is None and not made:
        return
    with contextlib.suppress(OSError):
        if stream is not None:
            stream.close()
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
    for folder in reversed(made):
        with contextlib.suppress(OSError):  # another writer may have put something into it meanwhile
            folder.rmdir()
