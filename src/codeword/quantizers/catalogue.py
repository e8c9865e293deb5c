"""All quantizers, by the name that a spec begins with."""

from __future__ import annotations

from typing import Any

from codeword.errors import CodewordError
from codeword.quantizers import composite, implicit, layouts
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite import Composite
from codeword.quantizers.layouts import Layout
from codeword.quantizers.memory import MemoryCodes
from codeword.quantizers.random_projection import RandomProjection
from codeword.quantizers.spec.describe import PointsAt, build, settings_of
from codeword.quantizers.spec.grammar import Call, parse, point
from codeword.quantizers.vector import VectorQuantizer
from codeword.registry import Registry

__all__ = ["QUANTIZERS", "from_spec"]

_CLASSES = (
    VectorQuantizer,
    composite.Residual,
    composite.Grouped,
    composite.Additive,
    composite.QINCo,
    composite.Multiscale,
    implicit.FSQ,
    composite.ResidualFSQ,
    composite.ResidualLFQ,
    implicit.LFQ,
    implicit.BSQ,
    implicit.SphericalLeech,
    implicit.Binarize,
    implicit.Bitcodes,
    implicit.BitLayers,
    implicit.BinaryMapper,
    MemoryCodes,
    composite.Overlapped,
    RandomProjection,
    layouts.Channelwise,
    layouts.Blockwise,
    layouts.Patches,
)

MOST_PARTS = 1024  # components of one composition, the most tokens at a position of a token file
QUANTIZERS = Registry("quantizer", {cls.spec_name: cls for cls in _CLASSES})


def from_spec(spec: str, *, features: int, dim: int = -1) -> Quantizer:
    """Build a quantizer from its spec.

    Args:
        spec: name, sizes and options: `vq1024`, `vq1024,cosine,code_features=8`, `rvq8x1024` (stages x codes),
            `gvq2x64` (groups x codes), nested `gvq2x(rvq4x256)`, `rvq(vq1024|vq256)`, `rvq8x1024,shared=true`;
            `avq4x256` and `qinco4x256,hidden=64` (codebooks or stages x codes);
            `fsq8-5-5-5` and `rfsq8-5-5-5,stages=4` (levels), `lfq18`, `rlfq8,stages=4`, `bsq18`, `bits16`, `bitlayers8`
            and `mapper8` (bits),
            `leech`, `binarize`, `rpq8192` and `memory1024` (codes), `ovq4x(memory1024)` (components);
            `multiscale3x1024,shared=true,sizes=((1,1),(2,2),(4,4)),convolutions=convolutions` (scales x codes);
            `channelwise(vq1024),split=4`, `blockwise(vq1024),split=4`, `patches(vq1024),size=(2,2)`.
        features: size of a vector; the number of channels for the last three.
        dim: the axis of the features; 1 for the last three.

    Raises:
        CodewordError: a spec that cannot be read, a name that is not listed, an option that does not exist; the
            last line points at the character.

    Examples:
        >>> vq = from_spec("vq16,update=ema(decay=0.95)", features=8, dim=1)
        >>> vq.codebook_size, vq.spec
        (16, 'vq16,update=ema(decay=0.95)')
        >>> from_spec("gvq2x(rvq4x16)", features=8).index_shape
        (2, 4)
    """
    call = parse(spec)
    try:
        return _quantizer(call, features, dim)
    except CodewordError as error:
        raise CodewordError(str(error) + point(spec, getattr(error, "place", 0))) from None


def _quantizer(call: Call, features: int, dim: int = -1) -> Quantizer:
    with PointsAt(call.place):
        cls: type[Quantizer] = QUANTIZERS[call.name]
        if issubclass(cls, Composite) and not cls.size_names:
            return _composite(cls, call, features, dim)
        if issubclass(cls, Layout):
            return _layout(cls, call, features, dim)
        return _single(cls, call, features, dim)


def _single(cls: type[Quantizer], call: Call, features: int, dim: int) -> Quantizer:
    names, separator = cls.size_names, cls.size_separator
    sizes: tuple[Any, ...] = (call.sizes,) if separator == "-" and call.sizes else call.sizes
    mixed = len(call.sizes) > 1 and call.separator != separator
    if call.inner or mixed or len(sizes) != len(names):
        form = call.name + separator.join(f"<{name}>" for name in names)
        raise CodewordError.of(form, repr(_head(call)), f"write {len(names)} number(s) after {call.name}")
    given = {"features": features, "dim": dim, **dict(zip(names, sizes, strict=True))}
    return build(cls, call, (), settings_of(call), given)


def _composite(cls: type[Composite], call: Call, features: int, dim: int) -> Quantizer:
    own, plain = _split_options(cls, call)
    settings = settings_of(own)
    shared = settings.pop("shared", False)
    width = settings.pop("code_features", None) or features
    calls = _components_of(call, plain)
    width = cls.component_features(width, len(calls))
    if shared and any(part != calls[0] for part in calls):
        expected, got = "one quantizer for all with shared=true", f"{len(calls)} that differ"
        raise CodewordError.of(expected, got, f"write {call.name}{len(calls)}x(...)")
    components = (
        [_quantizer(calls[0], width)] * len(calls) if shared else [_quantizer(part, width) for part in calls]
    )
    return build(cls, own, (components,), settings, {"features": features, "dim": dim})


def _layout(cls: type[Layout], call: Call, channels: int, dim: int) -> Quantizer:
    if len(call.inner) != 1 or call.sizes or dim not in (-1, 1):
        form = f"{call.name}(<spec>) with dim=1, that of the channels"
        raise CodewordError.of(form, f"{_head(call)!r}, dim={dim}", "write it like this")
    settings = settings_of(call)
    try:
        width = cls.piece_features(channels, settings)
    except (TypeError, ValueError):
        expected = f"whole numbers as options of {call.name}"
        raise CodewordError.of(expected, repr(settings), "see its arguments") from None
    return build(cls, call, (_quantizer(call.inner[0], width), channels), settings, {})


def _split_options(cls: type[Composite], call: Call) -> tuple[Call, Call]:
    """Options of the composition itself, and of its components if, as in `rvq8x1024`, no inner spec is given."""
    if call.inner:
        return call, Call("vq")
    mine = tuple((name, value) for name, value in call.settings if name in cls.own_options)
    theirs = tuple((name, value) for name, value in call.settings if name not in cls.own_options)
    own = Call(call.name, call.sizes, (), mine, place=call.place, places=call.places)
    return own, Call("vq", call.sizes[1:], call.arguments, theirs, place=call.place, places=call.places)


def _components_of(call: Call, plain: Call) -> list[Call]:
    """The tree of each part."""
    form = f"{call.name}<number>x<codes>, {call.name}<number>x(<spec>) or {call.name}(<spec>|<spec>|...)"
    if call.sizes and call.sizes[0] > MOST_PARTS:
        got = f"{call.sizes[0]}"
        raise CodewordError.of(f"at most {MOST_PARTS} components", got, "ask for fewer")
    if not call.inner and len(call.sizes) == 2 and call.sizes[0]:
        return [plain] * call.sizes[0]
    if len(call.inner) == 1 and len(call.sizes) == 1 and call.sizes[0]:
        return list(call.inner) * call.sizes[0]
    if call.inner and not call.sizes:
        return list(call.inner)
    raise CodewordError.of(form, repr(_head(call)), "write it one of these ways")


def _head(call: Call) -> str:
    return call.name + call.separator.join(map(str, call.sizes)) + ("(...)" if call.inner else "")
