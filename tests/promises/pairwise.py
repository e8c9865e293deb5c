"""A covering array: vector quantizers in which every two parts of different axes meet, if they may."""

from __future__ import annotations

import itertools
import random
from typing import Any

from codeword import CodewordError, VectorQuantizer
from codeword.estimators import Directional, Gumbel, ReinMax, Rotation, Sampled, StraightThrough
from codeword.inits import KMeans, Normal, Sample, Uniform
from codeword.metrics import Cosine, Dot, Euclidean
from codeword.penalties import (
    CodebookLoss,
    Commitment,
    Diversity,
    Entropy,
    NormCap,
    Orthogonality,
    Wasserstein,
)
from codeword.quantizers.compatible import check_compatible
from codeword.revivals import BelowBudget, BelowCount, BelowShare, Split, Stale
from codeword.transforms import (
    Affine,
    CodeGamma,
    Gamma,
    LearnedSpread,
    Linear,
    MaxNorm,
    RunningAffine,
    SpaceFilling,
    UnitNorm,
)
from codeword.updates import EMA, Frozen, Gradient, InPlaceAdam, InPlaceSGD, MeanEMA, SmoothedEMA

__all__ = ["AXES", "build", "covering_array", "pairs_of"]

FEATURES = 6
AXES: dict[str, list[Any]] = {
    "update": [EMA, MeanEMA, SmoothedEMA, InPlaceSGD, InPlaceAdam, Gradient, Frozen],
    "transform": [
        None,
        Affine(groups=2),
        RunningAffine(),
        Linear(),
        LearnedSpread(hidden=3),
        Gamma(),
        CodeGamma(),
        UnitNorm(),
        MaxNorm(1.0),
        SpaceFilling(),
    ],
    "metric": [Euclidean(), Cosine(), Cosine(unit=True), Dot()],
    "estimator": [
        StraightThrough(),
        StraightThrough(sync=0.5),
        Rotation(),
        Directional(),
        Sampled(0.5),
        Gumbel(),
        ReinMax(scale=10.0, relative=True),
    ],
    "init": [KMeans(steps=2), Sample(), Normal(), Uniform(0.5)],
    "revival": [None, BelowShare(0.3), Stale(1), BelowCount(1.0), BelowBudget(0.5, 0.7), Split(0.5)],
    "penalties": [
        (),
        (Commitment(),),
        (CodebookLoss(), Commitment()),
        (CodebookLoss(), Entropy(temperature=0.5)),
        (Diversity(),),
        (CodebookLoss(), Orthogonality(active=True)),
        (Commitment(), Wasserstein()),
        (CodebookLoss(), NormCap(limit=0.5)),
    ],
    "layout": [{}, {"dim": 1}, {"code_features": 3}],
}
Combination = tuple[int, ...]  # the number of the part on each axis


def chosen(combination: Combination) -> dict[str, Any]:
    return {name: AXES[name][index] for name, index in zip(AXES, combination, strict=True)}


def rule(parts: dict[str, Any]) -> Any:
    """The codebook rule, or TypeError for one that has no such field."""
    options = {name: parts[name] for name in ("transform", "revival") if parts[name] is not None}
    if parts["update"] is not Frozen and parts["revival"] is None:
        options["revival"] = None
    return parts["update"](init=parts["init"], **options)


def build(combination: Combination) -> VectorQuantizer:
    parts = chosen(combination)
    return VectorQuantizer(
        FEATURES,
        13,
        update=rule(parts),
        metric=parts["metric"],
        estimator=parts["estimator"],
        penalties=parts["penalties"],
        **parts["layout"],
    )


def may_be(combination: Combination) -> bool:
    parts = chosen(combination)
    try:
        check_compatible(rule(parts), parts["metric"], parts["estimator"], parts["penalties"])
    except (CodewordError, TypeError):
        return False
    return True


def pairs_of(combination: Combination) -> set[tuple[int, int, int, int]]:
    """(axis, part, axis, part) for every two axes."""
    numbered = list(enumerate(combination))
    return {(*a, *b) for a, b in itertools.combinations(numbered, 2)}


def covering_array() -> list[Combination]:
    """Few combinations with all pairs that may be: of many drawn ones, always one that adds most."""
    draw = random.Random(0)
    sizes = [len(parts) for parts in AXES.values()]
    drawn = (tuple(draw.randrange(size) for size in sizes) for _ in range(20_000))
    pool = {combination: pairs_of(combination) for combination in drawn if may_be(combination)}
    left = set().union(*pool.values())
    array = []
    while left:
        best = max(pool, key=lambda combination: len(pool[combination] & left))
        array.append(best)
        left -= pool[best]
        pool = {c: p & left for c, p in pool.items() if p & left}
    return array
