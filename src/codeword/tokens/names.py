"""Names of items: relative paths that stay inside whatever folder they are put under."""

from __future__ import annotations

import re
from collections.abc import Iterable

from codeword.errors import CodewordError

__all__ = ["check_name", "check_names"]

LONGEST_NAME = 1024  # bytes of UTF-8
LONGEST_PART = 255  # bytes of one folder or file name: the limit of common file systems
DRIVE = re.compile(r"[A-Za-z]:")
# Most names are found to be safe by one look: up to 8 short ASCII parts, none of which begins with a dot.
ORDINARY = re.compile(r"(?:[\w-][\w.-]{0,99}/){0,7}[\w-][\w.-]{0,99}", re.ASCII)


def check_name(name: str) -> None:
    """Check that `name` is a safe name for an item: a relative path with `/` between its parts.

    A token file is decoded into a folder, so a name such as `../../.bashrc` would write outside of it. Names
    are refused when they are read as well as when they are written.

    Raises:
        CodewordError: the name is empty, too long, absolute, has an empty part, `.` or `..`, a backslash, a
            drive letter, a control character, or cannot be written as UTF-8.

    Examples:
        >>> check_name("cats/one.png")
        >>> check_name("../one.png")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected an item name that is a relative path inside its folder, \
but got '../one.png' (a part is '..'); rename the item
    """
    fault = _fault(name) if isinstance(name, str) else "not a string"
    if fault:
        name = str(name)
        shown = repr(name) if len(name) <= 80 else repr(name[:80]) + "..."
        expected = "an item name that is a relative path inside its folder"
        raise CodewordError.of(expected, f"{shown} ({fault})", "rename the item")


def check_names(names: Iterable[str]) -> None:
    """`check_name` for each of many names: a million in a second.

    Raises:
        CodewordError: as `check_name`, for the first name that is not safe.
    """
    for name in names:
        if not isinstance(name, str) or not ORDINARY.fullmatch(name):
            check_name(name)


def _fault(name: str) -> str | None:
    if len(name) > LONGEST_NAME:  # before anything that takes as long as the name
        return f"more than {LONGEST_NAME} bytes"
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "not valid Unicode"
    parts = name.split("/")
    faults = {
        "empty": not name,
        f"more than {LONGEST_NAME} bytes": len(encoded) > LONGEST_NAME,
        "a control character": any(ord(character) < 32 or ord(character) == 127 for character in name),
        "a backslash": "\\" in name,
        "an absolute path": name.startswith("/") or DRIVE.match(name) is not None,
        "a part is '..'": ".." in parts,
        "a part is '.'": "." in parts,
        "an empty part": "" in parts,
        f"a part of more than {LONGEST_PART} bytes": any(len(part.encode()) > LONGEST_PART for part in parts),
    }
    return next((fault for fault, present in faults.items() if present), None)
