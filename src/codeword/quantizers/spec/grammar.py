"""The grammar of spec strings: from text to a tree and back, independent of quantizers.

::

    spec    = name [sizes] [inner] ("," (setting | part))*      vq1024,cosine,update=ema(decay=0.95)
    sizes   = number ("x" number)* | number ("-" number)*       rvq8x1024, fsq8-5-5-5
    inner   = ["x"] "(" spec ("|" spec)* ")"                    gvq2x(rvq4x256), rvq(vq1024|vq256)
    setting = option "=" value
    value   = number | "true" | "false" | "none" | part | "(" value ("," value)* ")"
    part    = name ["(" [argument ("," argument)*] ")"]
    argument = value | setting
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from codeword.errors import CodewordError

__all__ = ["Call", "parse", "point", "write"]

_NUMBER = re.compile(r"-?(\d{1,24}\.?\d{0,24}|\.\d{1,24})(e[+-]?\d{1,3})?")
_WORD = re.compile(r"[a-z_]+")
_SIZES = re.compile(r"\d{1,12}((x\d{1,12})+|(-\d{1,12})+)?")
_OPTION = re.compile(r"[a-z_][a-z_0-9]*")  # beta1
_SETTING = re.compile(rf"\s*{_OPTION.pattern}\s*=")
# The most characters and nested parentheses, because checkpoints may come from strangers.
_LONGEST, _DEEPEST = 65536, 32
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Call:
    """One node of the tree: a name with sizes, positional and named arguments, and inner specs.

    `place` and `places` are the positions in the text of the node and its settings, for error messages.
    """

    name: str
    sizes: tuple[int, ...] = ()
    arguments: tuple[Any, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    inner: tuple[Call, ...] = ()
    separator: str = "x"  # of the sizes
    place: int = field(default=0, compare=False)
    places: Mapping[str, int] = field(default_factory=dict, compare=False)


def parse(text: str) -> Call:
    """The tree of a spec.

    Raises:
        CodewordError: the text is no spec; the message points at the character.

    Examples:
        >>> parse("vq16,update=ema(decay=0.9)").sizes
        (16,)
    """
    _check_extent(text)
    return _Parser(text).whole()


def write(call: Call) -> str:
    """The text of a tree: the inverse of `parse`.

    Examples:
        >>> write(parse("vq16, update = ema( 0.9 )"))
        'vq16,update=ema(0.9)'
    """
    head = call.name + call.separator.join(map(str, call.sizes))
    if call.inner:
        head += f"{'x' if call.sizes else ''}({'|'.join(map(write, call.inner))})"
    return ",".join([head, *_write_items(call)])


def point(text: str, place: int) -> str:
    """Two lines to end an error with: the text, and a mark under the character at `place`."""
    return f"\n  {text}\n  {' ' * place}^"


def _write_items(call: Call) -> list[str]:
    settings = [f"{name}={_write_value(value)}" for name, value in call.settings]
    return [*map(_write_value, call.arguments), *settings]


def _write_value(value: Any) -> str:
    if isinstance(value, Call):
        items = _write_items(value)
        return f"{value.name}({','.join(items)})" if items else value.name
    if isinstance(value, tuple):
        return f"({','.join(map(_write_value, value))})"
    for word, constant in _CONSTANTS.items():
        if value is constant:
            return word
    return repr(value)


def _check_extent(text: Any) -> None:
    if not isinstance(text, str) or len(text) > _LONGEST:
        got = f"{len(text)} characters" if isinstance(text, str) else f"a {type(text).__name__}"
        raise CodewordError.of(f"a spec of at most {_LONGEST} characters", got, "write it like vq1024")
    deepest = max(accumulate((character == "(") - (character == ")") for character in text), default=0)
    if deepest > _DEEPEST:
        raise CodewordError.of(f"at most {_DEEPEST} nested parentheses", f"{deepest}", "write less")


class _Setting(NamedTuple):
    name: str
    value: Any
    place: int


def _call(name: str, items: Sequence[Any], **others: Any) -> Call:
    """The node of a name with arguments and settings, in the order of the text."""
    settings = [item for item in items if isinstance(item, _Setting)]
    return Call(
        name,
        arguments=tuple(item for item in items if not isinstance(item, _Setting)),
        settings=tuple((one.name, one.value) for one in settings),
        places={one.name: one.place for one in settings},
        **others,
    )


class _Parser:
    """Recursive descent: one method per rule, `place` is where we are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def whole(self) -> Call:
        call = self._spec()
        if self.place < len(self.text):
            self._fail("',' or the end")
        return call

    def _spec(self) -> Call:
        name = self._match(_WORD, "the name of a quantizer")
        place = self.place - len(name)
        sizes = self._try(_SIZES)
        inner = self._inner(bool(sizes))
        items = []
        while self._accept(","):
            items.append(self._setting() or self._part(self._match(_WORD, "an option or a part")))
        separator = "-" if "-" in sizes else "x"
        numbers = tuple(map(int, sizes.split(separator))) if sizes else ()
        return _call(name, items, sizes=numbers, inner=inner, separator=separator, place=place)

    def _inner(self, sized: bool) -> tuple[Call, ...]:
        if not (self._accept("x") if sized else self._peek("(")):
            return ()
        if not self._accept("("):
            self._fail("a number or '('")
        specs = [self._spec()]
        while self._accept("|"):
            specs.append(self._spec())
        if not self._accept(")"):
            self._fail("',', '|' or ')'")
        return tuple(specs)

    def _setting(self) -> _Setting | None:
        """The setting that comes next, if it is one."""
        if not _SETTING.match(self.text, self.place):
            return None
        self._skip()
        place = self.place
        name = self._match(_OPTION, "the name of an option")
        self._accept("=")
        return _Setting(name, self._value(), place)

    def _value(self) -> Any:
        if self._accept("("):
            return tuple(self._until_close(self._value))
        number = self._try(_NUMBER)
        if number:
            return float(number) if set(number) & set(".e") else int(number)
        name = self._match(_WORD, "a value")
        return _CONSTANTS[name] if name in _CONSTANTS else self._part(name)

    def _part(self, name: str) -> Call:
        place = self.place - len(name)
        items = self._until_close(self._argument) if self._accept("(") else []
        return _call(name, items, place=place)

    def _argument(self) -> Any:
        return self._setting() or self._value()

    def _until_close(self, read: Callable[[], Any]) -> list[Any]:
        items = []
        while not self._accept(")"):
            items.append(read())
            if not self._accept(",") and not self._peek(")"):
                self._fail("',' or ')'")
        return items

    def _skip(self) -> None:
        while self.place < len(self.text) and self.text[self.place] == " ":
            self.place += 1

    def _peek(self, character: str) -> bool:
        self._skip()
        return self.text.startswith(character, self.place)

    def _accept(self, character: str) -> bool:
        found = self._peek(character)
        self.place += found
        return found

    def _try(self, pattern: re.Pattern[str]) -> str:
        self._skip()
        match = pattern.match(self.text, self.place)
        self.place = match.end() if match else self.place
        return match[0] if match else ""

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        return self._try(pattern) or self._fail(what)

    def _fail(self, what: str) -> str:
        error = CodewordError.of(
            f"{what} at character {self.place + 1} of the spec",
            repr(self.text[self.place :]) if self.place < len(self.text) else "the end",
            "write it like vq1024,code_features=8,update=ema(decay=0.95) or rvq8x1024",
        )
        raise CodewordError(f"{error}{point(self.text, self.place)}")
