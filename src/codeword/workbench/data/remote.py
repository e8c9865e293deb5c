"""Remote files that fsspec opens, with the methods of a `Path` that readers use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

from codeword.errors import CodewordError
from codeword.packages import load

__all__ = ["RemotePath", "absolute", "is_remote", "path_of"]

MARK = "://"


@dataclass(frozen=True)
class RemotePath:
    """A file or folder of a file system of fsspec.

    Args:
        system: the file system.
        path: in it, without the protocol.
    """

    system: Any
    path: str

    def __str__(self) -> str:
        return str(self.system.unstrip_protocol(self.path))

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix

    def exists(self) -> bool:
        return bool(self.system.exists(self.path))

    def is_file(self) -> bool:
        return bool(self.system.isfile(self.path))

    def is_dir(self) -> bool:
        return bool(self.system.isdir(self.path))

    def is_symlink(self) -> bool:
        return False

    def stat(self) -> SimpleNamespace:
        return SimpleNamespace(st_size=int(self.system.size(self.path)))

    def open(self, mode: str) -> BinaryIO:
        return cast(BinaryIO, self.system.open(self.path, mode))

    def relative_to(self, folder: RemotePath) -> PurePosixPath:
        return PurePosixPath(self.path).relative_to(folder.path)

    def files(self) -> list[Path]:
        """All files in it and in its subfolders, except those whose name begins with a dot."""
        found = [RemotePath(self.system, path) for path in self.system.find(self.path)]
        hidden = (any(part.startswith(".") for part in one.relative_to(self).parts) for one in found)
        return [cast(Path, one) for one, is_hidden in zip(found, hidden, strict=True) if not is_hidden]


def is_remote(data: str | Path) -> bool:
    """Whether data is named by a URL: s3://bucket/items."""
    return MARK in str(data)


def path_of(data: str | Path) -> Path:
    """A local path, or a `RemotePath`, which readers of vectors also accept.

    Raises:
        CodewordError: fsspec cannot open the URL: its protocol is unknown, or needs a missing package.
    """
    if not is_remote(data):
        return Path(data)
    try:
        system, path = load("fsspec.core", "cluster").url_to_fs(str(data))
    except (ImportError, ValueError) as error:
        remedy = "install what it names, or copy the files here"
        raise CodewordError.of(f"a URL that fsspec opens, {data}", f"{error}", remedy) from error
    return cast(Path, RemotePath(system, path.rstrip("/")))


def absolute(data: str) -> str:
    """The same data for processes that work in other folders."""
    return data if is_remote(data) else str(Path(data).absolute())
