"""Names of items: relative paths that stay inside whatever folder they are put under."""

from __future__ import annotations

import re

from codeword.errors import CodewordError

__all__ = ["check_name"]

LONGEST_NAME = 1024  # bytes of UTF-8
LONGEST_PART = 255  # bytes of one folder or file name: the limit of common file systems
DRIVE = re.compile(r"[A-Za-z]:")


def check_name(name: str) -> None:
    """Check that `name` is a safe name for an item: a relative path with `/` between its parts.

    A token file is decoded into a folder, so a name such as `../../.bashrc` would write outside of it. Names
    are refused when they are read as well as when they are written.

    Raises:
        CodewordError: the name is empty, too long, absolute, has an empty part, `.` or `..`, a backslash, a
            drive letter, a control character, or cannot be written as UTF-8.

    Example:
        >>> check_name("cats/one.png")
        >>> check_name("../one.png")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected an item name that is a relative path inside its folder, \
but got '../one.png' (a part is '..'); rename the item
    """
    fault = _fault(name)
    if fault:
        shown = repr(name) if len(name) <= 80 else repr(name[:80]) + "..."
        expected = "an item name that is a relative path inside its folder"
        raise CodewordError.of(expected, f"{shown} ({fault})", "rename the item")


def _fault(name: str) -> str | None:
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
