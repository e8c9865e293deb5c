"""An attribute of several objects that is another one for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["temporarily"]


@contextmanager
def temporarily(objects: Iterable[Any], name: str, value: Any) -> Iterator[None]:
    """Set an attribute of all objects, and in the end what each had before."""
    before = [(one, getattr(one, name)) for one in objects]
    try:
        for one, _ in before:
            setattr(one, name, value)
        yield
    finally:
        for one, own in before:
            setattr(one, name, own)
