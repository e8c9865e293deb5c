"""Specs with every option written out, so that a changed default does not change their meaning."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from codeword.quantizers.base import Quantizer
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.composite.base import Composite
from codeword.quantizers.spec.describe import OF_THE_MODEL, build_value, described
from codeword.quantizers.spec.grammar import Call, parse, write

__all__ = ["spec_in_full"]


def spec_in_full(quantizer: Quantizer) -> str:
    """The spec of a quantizer with all options of it and of its parts, including defaults.

    `spec` omits defaults, for readers. Files use this form, because a later version may have other defaults.

    Raises:
        CodewordError: a quantizer of a class that has no name in specs, here or further in.

    Examples:
        >>> from codeword import from_spec
        >>> spec_in_full(from_spec("fsq8-5-5", features=3))
        'fsq8-5-5,bound=tanh(...),noise=0.0,normalize=false,joined=true,penalties=()'
        >>> spec_in_full(from_spec("rvq2x16", features=3))
        'rvq2x(vq16,code_features=none,update=ema(decay=none,...
    """
    for module in quantizer.modules():
        if isinstance(module, Quantizer):
            QUANTIZERS.name_of(module)  # a subclass would be loaded as the listed class that it extends
    return write(_in_full(parse(quantizer.spec)))


def _in_full(call: Call) -> Call:
    cls = QUANTIZERS[call.name]
    if issubclass(cls, Composite) and not (call.inner or cls.size_names):  # rvq2x16 is short for rvq2x(vq16)
        call = dataclasses.replace(call, sizes=call.sizes[:1], inner=(Call("vq", call.sizes[1:]),))
    given = dict(call.settings)
    sizes: tuple[str, ...] = getattr(cls, "size_names", ())
    settings = {name: value for name, value in given.items() if name not in _options(cls)}
    for name, default in _options(cls).items():
        if name not in (*sizes, *OF_THE_MODEL):
            settings[name] = described(build_value(given[name]) if name in given else default, in_full=True)
    inner = tuple(_in_full(part) for part in call.inner)
    return Call(call.name, call.sizes, (), tuple(settings.items()), inner, call.separator)


def _options(cls: type) -> dict[str, Any]:
    """The arguments of a constructor that have defaults, and these."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
