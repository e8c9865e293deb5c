"""A plain case for whatever is listed, so that a new part or quantizer is held to the promises by being listed."""

from __future__ import annotations

from collections.abc import Callable

from codeword import EMA, FSQ, Quantizer, VectorQuantizer, from_spec
from codeword.axes import Estimator, Init, Metric, Penalty, Revival, Transform, Update
from codeword.bounds import Bound
from codeword.penalties import CodebookLoss, Commitment
from codeword.transforms import LearnedSpread
from codeword.updates import Gradient

__all__ = ["plain_part", "plain_quantizer"]

FEATURES = 6
BOTH = (Commitment(), CodebookLoss())


def vq(rule: Update | None = None, **options: object) -> VectorQuantizer:
    return VectorQuantizer(FEATURES, 11, update=rule or EMA(), **options)


def of_update(part: Update) -> VectorQuantizer:
    return vq(part, penalties=BOTH if part.by_gradient else BOTH[:1])


def of_transform(part: Transform) -> VectorQuantizer:
    rule = Gradient(transform=part) if part.invertible else Gradient(revival=None, transform=part)
    return vq(rule, penalties=BOTH)


def of_penalty(part: Penalty) -> VectorQuantizer:
    others = tuple(penalty for penalty in BOTH if penalty.name != part.name)
    return vq(Gradient(transform=LearnedSpread() if part.needs_alpha else None), penalties=(*others, part))


BUILDERS: dict[type, Callable[..., Quantizer]] = {
    Update: of_update,
    Transform: of_transform,
    Penalty: of_penalty,
    Estimator: lambda part: vq(Gradient(), estimator=part, penalties=BOTH),
    Metric: lambda part: vq(metric=part),
    Init: lambda part: vq(EMA(init=part)),
    Revival: lambda part: vq(EMA(revival=part)),
    Bound: lambda part: FSQ(FEATURES, (5, 5), bound=part),
}


def plain_part(cls: type) -> Callable[[], Quantizer]:
    """A vector quantizer with this part as it is by default."""
    for axis, build in BUILDERS.items():
        if issubclass(cls, axis):
            return lambda: build(cls())
    raise TypeError(f"{cls.__name__} is of no axis: write a case by hand")


def plain_quantizer(name: str, cls: type[Quantizer]) -> Callable[[], Quantizer]:
    """A small one, of sizes 5; one that is built around others needs a case by hand."""
    spec = name + cls.size_separator.join("5" for _ in cls.size_names)
    return lambda: from_spec(spec, features=FEATURES)
