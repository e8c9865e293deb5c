"""The errors and warnings that codeword raises: one class each, one shape of message."""

from __future__ import annotations

__all__ = ["CodewordError", "CodewordWarning"]


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
