"""Quantizers and parts as short strings: from an object to its string, and back.

`vq1024,code_features=8,update=ema(decay=0.95)` is a VectorQuantizer with those constructor arguments; all other
arguments have their defaults. A part needs no argument name, because its class determines the argument:
`vq1024,cosine`. `features` and `dim` depend on the model around the quantizer, so they are not in the spec.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from codeword.axes import Estimator, Metric, Penalty, Update
from codeword.bounds import Bound
from codeword.errors import CodewordError
from codeword.quantizers.spec.grammar import Call, write
from codeword.quantizers.spec.parts import PARTS

__all__ = [
    "NOT_IN_SPECS",
    "OF_THE_MODEL",
    "build",
    "build_value",
    "describe",
    "differing",
    "located",
    "settings_of",
]

OF_THE_MODEL = ("features", "dim", "device", "dtype")  # the model around a quantizer sets them, not its spec
NOT_IN_SPECS = (*OF_THE_MODEL, "quantizers", "quantizer", "channels")  # nor those: inner specs are no options
_ARGUMENTS: tuple[tuple[type[Any], str], ...] = (
    (Update, "update"),
    (Metric, "metric"),
    (Estimator, "estimator"),
    (Penalty, "penalties"),
    (Bound, "bound"),
)


def describe(
    name: str, cls: type, sizes: tuple[int, ...], options: dict[str, Any], separator: str = "x"
) -> str:
    """The spec of an object of class `cls`: its sizes, and the options that are not the constructor's defaults."""
    return write(Call(name, sizes, (), differing(cls, options), separator=separator))


def settings_of(call: Call) -> dict[str, Any]:
    """The options of a quantizer's tree as objects; parts without an argument name get that name."""
    settings: dict[str, Any] = {}
    for part in call.arguments:
        value = build_value(part)
        name = next((name for axis, name in _ARGUMENTS if isinstance(value, axis)), None)
        if name is None or (name in settings and name != "penalties"):
            expected = f"an option of {call.name}" if name is None else f"one {name}"
            raise located(
                CodewordError.of(expected, repr(write(part)), "say which argument it sets: write name=value"),
                part.place,
            )
        settings[name] = (*settings.get(name, ()), value) if name == "penalties" else value
    for name, value in call.settings:
        if name in settings:
            raise located(
                CodewordError.of(f"{name} once", f"it twice for {call.name}", f"leave out {name}="),
                call.places.get(name, call.place),
            )
        settings[name] = build_value(value)
    return settings


def build(
    cls: type, call: Call, arguments: tuple[Any, ...], settings: dict[str, Any], given: dict[str, Any]
) -> Any:
    """The object that a tree describes, with further arguments."""
    for name in settings:
        if name in given:
            raise located(
                CodewordError.of(f"{name} once", f"it twice for {call.name}", f"leave out {name}="),
                call.places.get(name, call.place),
            )
    settings = {**given, **settings}
    parameters = inspect.signature(cls).parameters.values()
    signature = inspect.Signature([p for p in parameters if p.name in given or p.name not in OF_THE_MODEL])
    try:
        signature.bind(*arguments, **settings)
    except TypeError as error:
        unknown = next((name for name in settings if name not in signature.parameters), None)
        options = ", ".join(p for p in signature.parameters if p not in given)
        message = CodewordError.of(
            f"options of {call.name}", str(error).removeprefix("got "), f"it has: {options or 'none'}"
        )
        raise located(message, call.places.get(unknown or "", call.place)) from None
    try:
        return cls(*arguments, **settings)
    except CodewordError as error:
        raise located(error, call.place) from None
    except (TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, MemoryError) as error:
        # Errors that wrong numbers may cause anywhere, because a spec may come from an untrusted file.
        message = CodewordError.of(
            f"options that {call.name} can have", f"{error}"[:200], "see its arguments"
        )
        raise located(message, call.place) from error


def build_value(value: Any) -> Any:
    """The object of a value of the tree."""
    if isinstance(value, tuple):
        return tuple(build_value(item) for item in value)
    if not isinstance(value, Call):
        return value
    try:
        cls = PARTS[value.name]
    except CodewordError as error:
        raise located(error, value.place) from None
    arguments = tuple(build_value(argument) for argument in value.arguments)
    named = dict(value.settings)
    if len(named) < len(value.settings):
        raise located(
            CodewordError.of("each option once", f"one twice for {value.name}", "leave one out"), value.place
        )
    return build(cls, value, arguments, {name: build_value(v) for name, v in named.items()}, {})


def located(error: CodewordError, place: int) -> CodewordError:
    """Add the position in the spec to the error, if it has none."""
    if not hasattr(error, "place"):
        error.place = place  # type: ignore[attr-defined]
    return error


def differing(cls: type, values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The arguments that are not the constructor's defaults."""
    parameters = inspect.signature(cls).parameters
    return tuple((name, _describe_value(v)) for name, v in values.items() if v != parameters[name].default)


def _describe_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_describe_value(item) for item in value)
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return Call(PARTS.name_of(value), (), (), differing(type(value), fields))
