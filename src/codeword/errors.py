"""The errors and warnings that codeword raises: one class each, one shape of message."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["CodewordError", "CodewordWarning", "deprecated", "printable"]

# Control characters, those that end a line or turn its direction, and halves of pairs: bytes that are not UTF-8.
UNSAFE = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
NOT_PRINTABLE = re.compile(f"[{UNSAFE}]")
NOT_LAID_OUT = re.compile(f"(?!\n  )[{UNSAFE}]")  # an indented line is ours: a spec and the mark under it

P = ParamSpec("P")
R = TypeVar("R")


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


def deprecated(instead: str, gone_in: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a public function that will go: a call works, and warns where it is written.

    Args:
        instead: what to do instead, as a sentence without its first capital and full stop.
        gone_in: the version of codeword without it.

    Examples:
        >>> @deprecated("call nearest instead", gone_in="2.0")
        ... def closest(x: int) -> int:
        ...     return x
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     closest(3)
        3
        >>> print(caught[0].message)
        closest goes in codeword 2.0; call nearest instead
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> R:
            message = f"{function.__qualname__} goes in codeword {gone_in}; {instead}"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return function(*args, **options)

        return call

    return mark
