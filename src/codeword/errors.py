"""The errors and warnings that codeword raises: one class each, one shape of message."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["CodewordError", "CodewordWarning", "deprecated"]

P = ParamSpec("P")
R = TypeVar("R")


class CodewordError(ValueError):
    """Input that cannot be used. The message says what was expected, what came and what to do.

    Examples:
        >>> raise CodewordError.of("features of size 64 on axis -1", "size 32", "pass features=32")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected features of size 64 on axis -1, but got size 32; pass features=32
    """

    @classmethod
    def of(cls, expected: str, got: str, remedy: str) -> CodewordError:
        """Build the message from its three parts."""
        return cls(f"expected {expected}, but got {got}; {remedy}")


class CodewordWarning(UserWarning):
    """Something that works, but that the user should know about."""


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
