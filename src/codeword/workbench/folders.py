"""Result folders that are written completely or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from codeword.errors import CodewordError
from codeword.files import make_folder

__all__ = ["file_names", "whole_folder"]


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`: it is renamed to `target` if the block succeeds, and deleted otherwise.

    Raises:
        CodewordError: the name exists and is not an empty folder.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise CodewordError.of(
            "a folder that is new or empty", f"{target}, which is not", "pass another --out or remove it"
        )
    parent = make_folder(target.absolute().parent)
    beside = Path(tempfile.mkdtemp(dir=parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        yield beside
        beside.chmod(0o777 & ~_umask())
        if target.is_dir():
            target.rmdir()  # it is empty
        os.replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def file_names(names: Iterable[str], suffix: str) -> list[str]:
    """Unique file names for items, independent of their order.

    A name with the ending `suffix` does not change. In other names `suffix` replaces the ending, or follows it if two
    names would be equal.

    Examples:
        >>> file_names(["a/one.jpg", "two.jpg", "two.png", "three.jpg", "three.gif"], ".png")
        ['a/one.png', 'two.jpg.png', 'two.png', 'three.jpg.png', 'three.gif.png']
    """
    given = list(names)
    plain = [
        name if name.endswith(suffix) else str(PurePosixPath(name).with_suffix(suffix)) for name in given
    ]
    wanted = Counter(map(_as_file, plain))
    taken = {_as_file(str(folder)) for name in given for folder in PurePosixPath(name).parents}
    chosen = list(given)
    for place in sorted(range(len(given)), key=lambda place: (given[place] != plain[place], given[place])):
        alone = given[place] == plain[place] or wanted[_as_file(plain[place])] == 1
        target = plain[place] if alone else f"{given[place]}{suffix}"
        while _as_file(target) in taken:
            target += suffix
        taken.add(_as_file(target))
        chosen[place] = target
    return chosen


def _as_file(name: str) -> str:
    """The name as a file system may compare it: many do not distinguish One.png and one.png."""
    return unicodedata.normalize("NFC", name.casefold())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
