"""Names of tests, the same in every program that runs them: a function is said by its name, not by its place."""

from __future__ import annotations

import re

__all__ = ["said"]


def said(value: object) -> str:
    """What a parameter is, in words."""
    return re.sub(r"<function (\S+) at 0x[0-9a-f]+>", r"\1", str(value))
