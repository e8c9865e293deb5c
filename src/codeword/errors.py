"""The errors and warnings that codeword raises: one class each, one shape of message."""

from __future__ import annotations

import re

__all__ = ["CodewordError", "CodewordWarning", "printable"]

# Control characters, those that end a line or turn its direction, and halves of pairs: bytes that are not UTF-8.
UNSAFE = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
NOT_PRINTABLE = re.compile(f"[{UNSAFE}]")
NOT_LAID_OUT = re.compile(f"(?!\n  )[{UNSAFE}]")  # an indented line is ours: a spec and the mark under it


class CodewordError(ValueError):
    """Input that cannot be used. The message says what was expected, what came and what to do.

    Names of files and others that come from outside are `printable` in it.

    Examples:
        >>> raise CodewordError.of("features of size 64 on axis -1", "size 32", "pass features=32")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected features of size 64 on axis -1, but got size 32; pass features=32
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(NOT_LAID_OUT.sub(_escape, message))

    @classmethod
    def of(cls, expected: str, got: str, remedy: str) -> CodewordError:
        """Build the message, one line, from its three parts."""
        return cls(printable(f"expected {expected}, but got {got}; {remedy}"))


class CodewordWarning(UserWarning):
    """Something that works, but that the user should know about."""

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    r"""A text that is safe to print as one line: what would move, clear or break it is written as an escape.

    Examples:
        >>> printable("two\nlines, \x1b[2J, caf\udce9")
        'two\\nlines, \\x1b[2J, caf\\udce9'
    """
    return NOT_PRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
