"""Quantizers and parts as short strings: from an object to its string, and back.

`vq1024,code_features=8,update=ema(decay=0.95)` is a VectorQuantizer with those constructor arguments; all other
arguments have their defaults. A part needs no argument name, because its class determines the argument:
`vq1024,cosine`. `features` and `dim` depend on the model around the quantizer, so they are not in the spec.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, TypeVar

from codeword.axes import Estimator, Metric, Penalty, Update
from codeword.bounds import Bound
from codeword.errors import CodewordError
from codeword.quantizers.spec.grammar import Call, write
from codeword.quantizers.spec.parts import PARTS

__all__ = [
    "NOT_IN_SPECS",
    "OF_THE_MODEL",
    "PointsAt",
    "build",
    "build_value",
    "described",
    "differing",
    "settings_of",
]

_T = TypeVar("_T")
OF_THE_MODEL = ("features", "dim", "device", "dtype")  # the model around a quantizer sets them, not its spec
NOT_IN_SPECS = (*OF_THE_MODEL, "quantizers", "quantizer", "channels")  # nor those: inner specs are no options
_ARGUMENTS: tuple[tuple[type[Any], str], ...] = (
    (Update, "update"),
    (Metric, "metric"),
    (Estimator, "estimator"),
    (Penalty, "penalties"),
    (Bound, "bound"),
)


class PointsAt:
    """Within it an error points at a position in the spec, unless it has one already."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, CodewordError) and not hasattr(error, "place"):
            error.place = self.place  # type: ignore[attr-defined]


def settings_of(call: Call) -> dict[str, Any]:
    """The options of a quantizer's tree as objects; parts without an argument name get that name."""
    settings: dict[str, Any] = {}
    for part in call.arguments:
        with PointsAt(part.place):
            value = build_value(part)
            name = next((name for axis, name in _ARGUMENTS if isinstance(value, axis)), None)
            if name is None or (name in settings and name != "penalties"):
                expected = f"an option of {call.name}" if name is None else f"one {name}"
                remedy = "say which argument it sets: write name=value"
                raise CodewordError.of(expected, repr(write(part)), remedy)
            settings[name] = (*settings.get(name, ()), value) if name == "penalties" else value
    for name, value in call.settings:
        _check_new(call, name, settings)
        settings[name] = build_value(value)
    return settings


def build(
    cls: type[_T], call: Call, arguments: tuple[Any, ...], settings: dict[str, Any], given: dict[str, Any]
) -> _T:
    """The object that a tree describes, with further arguments."""
    for name in settings:
        _check_new(call, name, given)
    settings = {**given, **settings}
    parameters = inspect.signature(cls).parameters.values()
    signature = inspect.Signature([p for p in parameters if p.name in given or p.name not in OF_THE_MODEL])
    try:
        signature.bind(*arguments, **settings)
    except TypeError as error:
        unknown = next((name for name in settings if name not in signature.parameters), "")
        options = ", ".join(p for p in signature.parameters if p not in given)
        got, remedy = str(error).removeprefix("got "), f"it has: {options or 'none'}"
        with PointsAt(call.places.get(unknown, call.place)):
            raise CodewordError.of(f"options of {call.name}", got, remedy) from None
    with PointsAt(call.place):
        try:
            return cls(*arguments, **settings)
        except CodewordError:
            raise
        except (TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, MemoryError) as error:
            # Errors that wrong numbers may cause anywhere, because a spec may come from an untrusted file.
            expected = f"options that {call.name} can have"
            raise CodewordError.of(expected, f"{error}"[:200], "see its arguments") from error


def build_value(value: Any) -> Any:
    """The object of a value of the tree."""
    if isinstance(value, tuple):
        return tuple(build_value(item) for item in value)
    if not isinstance(value, Call):
        return value
    with PointsAt(value.place):
        cls, named = PARTS[value.name], dict(value.settings)
        if len(named) < len(value.settings):
            raise CodewordError.of("each option once", f"one twice for {value.name}", "leave one out")
    arguments = tuple(build_value(argument) for argument in value.arguments)
    return build(cls, value, arguments, {name: build_value(v) for name, v in named.items()}, {})


def _check_new(call: Call, name: str, settings: dict[str, Any]) -> None:
    if name in settings:
        with PointsAt(call.places.get(name, call.place)):
            raise CodewordError.of(f"{name} once", f"it twice for {call.name}", f"leave out {name}=")


def differing(cls: type, values: dict[str, Any], in_full: bool = False) -> tuple[tuple[str, Any], ...]:
    """The arguments that are not the constructor's defaults, or, `in_full`, all of them."""
    defaults = inspect.signature(cls).parameters
    named = [(name, v) for name, v in values.items() if in_full or v != defaults[name].default]
    return tuple((name, described(value, in_full)) for name, value in named)


def described(value: Any, in_full: bool = False) -> Any:
    """The value of an argument as a node of the tree: the inverse of `build_value`."""
    if isinstance(value, tuple):
        return tuple(described(item, in_full) for item in value)
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return Call(PARTS.name_of(value), (), (), differing(type(value), fields, in_full))
