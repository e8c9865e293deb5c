"""Names for classes: the allow-list that spec strings, configs and docs share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from codeword.errors import CodewordError

__all__ = ["Registry"]


class Registry:
    """A closed table of names and classes. What is not listed can be neither written nor read back.

    Examples:
        >>> shapes = Registry("shape", {"text": str, "number": int})
        >>> shapes["text"], shapes.name_of(3)
        (<class 'str'>, 'number')
        >>> shapes["txt"]
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected the name of a shape, but got 'txt'; use one of: text, number
    """

    def __init__(self, kind: str, classes: Mapping[str, type]) -> None:
        self._kind = kind
        self._classes = dict(classes)

    def __getitem__(self, name: str) -> type:
        if not isinstance(name, str) or name not in self._classes:
            known = ", ".join(self._classes)
            raise CodewordError.of(f"the name of a {self._kind}", f"{name!r:.80}", f"use one of: {known}")
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def name_of(self, value: object) -> str:
        """The name that an object's class is listed under."""
        for name, listed in self._classes.items():
            if type(value) is listed:
                return name
        raise CodewordError.of(
            f"a listed {self._kind}",
            f"an object of class {type(value).__name__}",
            f"only these can be written down: {', '.join(self._classes)}",
        )
