"""A folder of results that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
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
    """File names for items: the ending becomes `suffix`, or is kept before it where two would get one name.

    Examples:
        >>> file_names(["a/one.jpg", "two.png", "two.jpg"], ".png")
        ['a/one.png', 'two.png', 'two.jpg.png']
    """
    given, taken = list(names), set[str]()
    results = []
    for name in given:
        plain = str(PurePosixPath(name).with_suffix(suffix))
        chosen = plain
        # Compared without case: many file systems take One.png and one.png for one file.
        while chosen.casefold() in taken:
            chosen = f"{name}{suffix}" if chosen == plain else f"{chosen}{suffix}"
        taken.add(chosen.casefold())
        results.append(chosen)
    return results


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
