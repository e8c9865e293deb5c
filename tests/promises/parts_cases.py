"""One vector quantizer for every part of every axis, to be held to the promises."""

from __future__ import annotations

from collections.abc import Callable

from codeword import EMA, Quantizer, VectorQuantizer
from codeword.estimators import Directional, Gumbel, ReinMax, Rotation, Sampled, StraightThrough
from codeword.inits import Normal, Uniform
from codeword.metrics import Cosine, Dot, EntropyConstrained
from codeword.penalties import (
    CodebookLoss,
    Commitment,
    Diversity,
    Entropy,
    GrowingAlpha,
    LargeAlpha,
    NormCap,
    Orthogonality,
    UnitAlpha,
    Wasserstein,
)
from codeword.revivals import BelowBudget, BelowCount, Split, Stale
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
from codeword.updates import Frozen, Gradient, InPlaceAdam, InPlaceSGD, MeanEMA, SmoothedEMA

__all__ = ["EXEMPT_PARTS", "PARTS_CASES", "SLOW_PARTS"]

FEATURES = 6


def vq(size: int = 11, **options: object) -> Callable[[], Quantizer]:
    return lambda: VectorQuantizer(FEATURES, size, **options)


PARTS_CASES: dict[str, Callable[[], Quantizer]] = {
    "cosine": vq(metric=Cosine()),
    "cosine-unit": vq(metric=Cosine(unit=True)),
    "cosine-norm": vq(metric=Cosine(unit=True, keep_norm=True)),
    "dot": vq(metric=Dot()),
    "entropy-constrained": vq(metric=EntropyConstrained(0.3)),
    "entropy-constrained-gradient": vq(
        metric=EntropyConstrained(), update=Gradient(), penalties=(Commitment(), CodebookLoss())
    ),
    "smoothed": vq(update=EMA(smoothing=1e-3)),
    "drift": vq(31, update=EMA(decay=0.8, drift=True)),
    "smoothed-ema": vq(update=SmoothedEMA(patience=1)),
    "mean-ema": vq(31, update=MeanEMA(decay=0.8, revival=BelowBudget(0.5, at_most=4))),
}

BOTH = (Commitment(), CodebookLoss())
PARTS_CASES |= {
    "gradient": vq(update=Gradient(), penalties=BOTH),
    "gradient-split": vq(31, update=Gradient(revival=Split(0.6, at_most=9)), penalties=BOTH),
    "synchronised": vq(update=Gradient(), estimator=StraightThrough(sync=0.5)),
    "directional": vq(update=Gradient(), estimator=Directional(), penalties=()),
    "rotation": vq(estimator=Rotation()),
    "rotation-unscaled": vq(estimator=Rotation(scaled=False)),
    "sampled": vq(estimator=Sampled(0.5)),
    "gumbel": vq(estimator=Gumbel()),
    "gumbel-gradient": vq(update=Gradient(), estimator=Gumbel(0.5, scale=2.0), penalties=()),
    "reinmax": vq(estimator=ReinMax(1.5)),
    "sampled-relative": vq(estimator=Sampled(0.1, relative=True)),
    "gumbel-relative": vq(estimator=Gumbel(scale=10.0, relative=True)),
    "stale": vq(77, update=EMA(revival=Stale(1))),
    "below": vq(31, update=EMA(revival=BelowCount(1.0, at_most=4))),
    "budget": vq(31, update=EMA(revival=BelowBudget(0.8, decay=0.5, at_most=5))),
    "split": vq(31, update=EMA(revival=Split(0.6))),
    "normal": vq(update=EMA(init=Normal(0.5))),
    "uniform": vq(update=EMA(init=Uniform())),
    "in-place-sgd": vq(update=InPlaceSGD()),
    "in-place-adam": vq(31, update=InPlaceAdam(revival=Stale(1))),
    "frozen": vq(update=Frozen()),
}


def pulled(rule: object, *penalties: object) -> Callable[[], Quantizer]:
    return vq(update=rule, penalties=(*BOTH, *penalties))


PARTS_CASES |= {
    "entropy": vq(penalties=(Commitment(), Entropy(temperature=0.5))),
    "diversity": vq(penalties=(Commitment(), Diversity())),
    "wasserstein": vq(penalties=(Commitment(), Wasserstein())),
    "codes-penalties": pulled(Gradient(), Orthogonality(), NormCap(limit=0.5), Entropy(), Wasserstein()),
    "orthogonality-active": pulled(Gradient(), Orthogonality(active=True)),
    "affine": pulled(Gradient(transform=Affine(groups=3))),
    "running-affine": pulled(Gradient(transform=RunningAffine())),
    "running-affine-frozen": vq(update=Frozen(Normal(), RunningAffine())),
    "linear": pulled(Frozen(Normal(), Linear())),
    "linear-plain": pulled(Gradient(revival=None, transform=Linear(matched=False))),
    "learned-spread": pulled(Gradient(transform=LearnedSpread()), UnitAlpha()),
    "learned-spread-growing": pulled(Frozen(transform=LearnedSpread(hidden=3)), GrowingAlpha()),
    "gamma": pulled(Gradient(transform=Gamma())),
    "gamma-bounded": pulled(Gradient(transform=Gamma(bounded=True))),
    "code-gamma-moments": pulled(Gradient(transform=CodeGamma(moments_learn=True))),
    "code-gamma": pulled(Frozen(transform=CodeGamma()), NormCap()),
    "learned-spread-large": pulled(Gradient(transform=LearnedSpread(momentum=0.5)), LargeAlpha()),
    "unit-norm": pulled(Gradient(transform=UnitNorm())),
    "max-norm": pulled(Gradient(transform=MaxNorm(0.7))),
    "space-filling": vq(
        update=Gradient(revival=None, transform=SpaceFilling()), estimator=Directional(), penalties=()
    ),
}

# Tracing takes seconds: what one of these shows, the others need not show at every run.
TRACED = ("gradient", "gumbel", "split", "learned-spread")
SLOW_PARTS = {(name, "P6") for name in PARTS_CASES if name not in TRACED}
SLOW_PARTS |= {(name, "P5") for name in ("gumbel-gradient", "gumbel-relative")}  # as "gumbel", a second each

NO_NORM = (
    "an index does not carry the norm, so decode refuses; tests/parts/test_metrics.py holds it to the rest"
)
RELAXED = "its gradient is of a softmax over all codes: tests/parts/test_estimators.py has the formula"
EXEMPT_PARTS = {
    ("cosine-norm", "P3"): NO_NORM,
    ("cosine-norm", "P8"): NO_NORM,
    ("cosine-norm", "P9"): NO_NORM,
    ("cosine-norm", "P12"): NO_NORM,
    ("gumbel", "P11"): RELAXED,
    ("gumbel-gradient", "P11"): RELAXED,
    ("gumbel-relative", "P11"): RELAXED,
    ("reinmax", "P11"): RELAXED,
}
