"""Every quantizer that can be built, each held to every promise.

What is listed in PARTS or QUANTIZERS and in no case by hand gets a plain case by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch

import codeword
from codeword import EMA, Quantizer, VectorQuantizer
from codeword.inits import Sample
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.spec.parts import PARTS
from codeword.revivals import BelowShare
from promises.family_cases import EXEMPT_FAMILIES, FAMILY_CASES, FAMILY_SHAPES, OF_MAPS, SLOW_FAMILIES
from promises.listed import plain_part, plain_quantizer
from promises.parts_cases import EXEMPT_PARTS, PARTS_CASES, SLOW_PARTS

__all__ = ["CASES", "EXEMPT", "Case", "every_case"]

FEATURES = 6


@dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[], Quantizer]
    shape: tuple[int, ...] = (3, 17, FEATURES)  # of an input; features on the quantizer's `dim`

    @cached_property
    def dim(self) -> int:
        return self.build().dim

    @property
    def decodes(self) -> bool:
        """Whether indices give back what forward returned, in training too."""
        return (self.name, "P3") not in EXEMPT

    def x(self, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
        return scale * torch.randn(self.shape, generator=torch.Generator().manual_seed(seed))

    def mask(self, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
        """A random one; of whole maps, where these become indices."""
        shape = x.movedim(self.dim, -1).shape[:-1]
        drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.6
        return (
            drawn.flatten(1)[:, :1].view(-1, *[1] * (len(shape) - 1)).expand(shape)
            if self.name in OF_MAPS
            else drawn
        )

    def trained(self, steps: int = 3) -> Quantizer:
        torch.manual_seed(0)
        quantizer = self.build()
        for step in range(steps):
            quantizer(self.x(step))
        return quantizer


CASES = [
    Case("vq", lambda: VectorQuantizer(FEATURES, 11)),
    Case("vq-one-code", lambda: VectorQuantizer(FEATURES, 1)),
    Case("vq-more-codes-than-rows", lambda: VectorQuantizer(FEATURES, 77)),
    Case("vq-dim1", lambda: VectorQuantizer(FEATURES, 13, dim=1), (2, FEATURES, 5, 3)),
    Case("vq-two-axes", lambda: VectorQuantizer(FEATURES, 7), (31, FEATURES)),
    Case("vq-first-axis", lambda: VectorQuantizer(FEATURES, 7, dim=0), (FEATURES, 31)),
    Case("vq-projected", lambda: VectorQuantizer(FEATURES, 11, code_features=3)),
    Case("vq-sample", lambda: VectorQuantizer(FEATURES, 11, update=EMA(decay=0.9, init=Sample()))),
    Case("vq-no-init", lambda: VectorQuantizer(FEATURES, 11, update=EMA(init=None))),
    Case("vq-no-revival", lambda: VectorQuantizer(FEATURES, 11, update=EMA(revival=None))),
    Case("vq-much-revival", lambda: VectorQuantizer(FEATURES, 31, update=EMA(revival=BelowShare(0.9, 31)))),
    Case("vq-no-penalty", lambda: VectorQuantizer(FEATURES, 11, penalties=())),
    Case(
        "vq-short-kmeans",
        lambda: codeword.from_spec("vq11,update=ema(init=kmeans(2,rows_per_code=3))", features=FEATURES),
    ),
]
CASES += [Case(name, build) for name, build in PARTS_CASES.items()]
CASES += [Case(name, build, FAMILY_SHAPES.get(name, Case.shape)) for name, build in FAMILY_CASES.items()]


def unnamed_cases() -> Iterator[Case]:
    """A case for everything listed that no case names, but for what the default layer is made of."""
    default = "ema kmeans relative euclidean straight_through commitment tanh"
    said = " ".join([default, *(f"{case.name} {case.build().spec}" for case in CASES)])
    words = set(re.findall(r"[a-z_]+", said))
    yield from (Case(name, plain_part(PARTS[name])) for name in PARTS if name not in words)
    for name in QUANTIZERS:
        if name not in words:
            yield Case(name, plain_quantizer(name, QUANTIZERS[name]))


CASES += list(unnamed_cases())

# (case, promise) -> why the promise cannot hold. An exemption without a reason fails.
EXEMPT: dict[tuple[str, str], str] = {**EXEMPT_PARTS, **EXEMPT_FAMILIES}

# Compiling takes seconds a case: these show what the other plain ones would show again.
TRACED = ("vq", "vq-projected", *PARTS_CASES, *FAMILY_CASES)
SLOW = SLOW_PARTS | SLOW_FAMILIES | {(case.name, "P6") for case in CASES if case.name not in TRACED}


def every_case(promise: str, one_in: int = 1) -> pytest.MarkDecorator:
    """Parametrise a test over all the cases that a promise binds.

    Args:
        promise: "P1" and so on.
        one_in: of a test that is long: of so many cases one runs at every time, the others with the slow tests.
    """
    bound = [case for case in CASES if (case.name, promise) not in EXEMPT]
    late = [number % one_in or (case.name, promise) in SLOW for number, case in enumerate(bound)]
    params = [
        pytest.param(case, id=case.name, marks=(pytest.mark.slow,) if slow else ())
        for case, slow in zip(bound, late, strict=True)
    ]
    return pytest.mark.parametrize("case", params)
