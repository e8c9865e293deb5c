"""A folder of results that is there whole or not at all."""

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
    """A temporary folder beside `target` that takes its name if the block ends well, and else vanishes.

    Raises:
        CodewordError: something is there under that name that is no empty folder.
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
    """File names for items, whatever their order: one with the ending `suffix` stays as it is, which no other gets.

    Of the others the ending becomes `suffix`, or is kept before it where two would get one name.

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
    """What a file system may take a name for: many make no difference between One.png and one.png."""
    return unicodedata.normalize("NFC", name.casefold())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
