"""A plain case for whatever is listed, so that a new part or quantizer is held to the promises by being listed."""

from __future__ import annotations

from collections.abc import Callable

from codeword import EMA, VectorQuantizer, from_spec
from codeword.parts import CodebookLoss, Commitment, Directional, Frozen, Gradient, Normal
from codeword.parts.axes import Estimator, Init, Metric, Penalty, Revival, Transform, Update
from codeword.quantizers import Quantizer
from codeword.quantizers.composite import Composite
from codeword.registry import Registry

__all__ = ["plain_part", "plain_quantizer"]

FEATURES = 6
BOTH = (Commitment(), CodebookLoss())


def vq(**options: object) -> VectorQuantizer:
    return VectorQuantizer(FEATURES, 11, **options)


def of_update(part: Update) -> VectorQuantizer:
    return vq(codebook=part, penalties=BOTH)


def of_transform(part: Transform) -> VectorQuantizer:
    rule = Gradient(transform=part) if part.invertible else Frozen(Normal(), part)
    return vq(codebook=rule, penalties=BOTH)


def of_estimator(part: Estimator) -> VectorQuantizer:
    return vq(codebook=Gradient(), estimator=part, penalties=BOTH)


def of_penalty(part: Penalty) -> VectorQuantizer:
    others = tuple(penalty for penalty in BOTH if penalty.name != part.name)
    return vq(codebook=Gradient(), penalties=(*others, part))


BUILDERS: dict[type, Callable[..., Quantizer]] = {
    Update: of_update,
    Transform: of_transform,
    Estimator: of_estimator,
    Penalty: of_penalty,
    Metric: lambda part: vq(metric=part),
    Init: lambda part: vq(codebook=EMA(init=part)),
    Revival: lambda part: vq(codebook=EMA(revival=part)),
}


def plain_part(cls: type) -> Callable[[], Quantizer]:
    """A vector quantizer with this part as it is by default."""
    for axis, build in BUILDERS.items():
        if issubclass(cls, axis):
            return lambda: build(cls())
    raise TypeError(f"{cls.__name__} is of no axis: say in {__name__} how a quantizer has it")


def plain_quantizer(name: str, cls: type[Quantizer], quantizers: Registry) -> Callable[[], Quantizer]:
    """A small quantizer of this class: of sizes 5, or around two small ones."""
    sizes = cls.size_separator.join("5" for _ in cls.size_names)
    spec = f"{name}2x(vq7)" if issubclass(cls, Composite) else f"{name}{sizes}"
    return lambda: from_spec(spec, features=FEATURES)
