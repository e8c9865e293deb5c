"""Parts that do not go together, and numbers that parts cannot take: each error says why and what to do."""

from __future__ import annotations

import pytest

import codeword
from codeword import VectorQuantizer, parts
from codeword.parts import (
    EMA,
    Affine,
    CodebookLoss,
    Commitment,
    Directional,
    Frozen,
    Gradient,
    InPlaceSGD,
    LearnedSpread,
    Linear,
    NormCap,
    Orthogonality,
    SpaceFilling,
    StraightThrough,
    UnitAlpha,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"update": Gradient()}, "nothing can train the codebook; add CodebookLoss"),
        ({"update": Gradient(), "penalties": ()}, "or take StraightThrough.sync=1.0. or Directional"),
        ({"update": Frozen(transform=Linear())}, "gives the codes of Frozen a gradient"),
        ({"estimator": StraightThrough(sync=1.0)}, "EMA, whose codes take none; pass update=Gradient"),
        ({"estimator": Directional()}, "codes that learn by gradient with Directional"),
        ({"update": InPlaceSGD(), "penalties": (CodebookLoss(),)}, "leave CodebookLoss out"),
        ({"penalties": (Orthogonality(),)}, "leave Orthogonality out, or pass update=Gradient"),
        ({"update": Frozen(), "penalties": (NormCap(),)}, "Frozen, whose codes take none"),
        (
            {"update": Gradient(transform=Linear()), "penalties": (CodebookLoss(),)},
            "these codes are moved by the transform",
        ),
        (
            {"update": Gradient(transform=SpaceFilling()), "estimator": Directional()},
            "pass revival=None",
        ),
        ({"penalties": (Commitment(), Commitment(0.5))}, "one penalty named commitment"),
        ({"penalties": (UnitAlpha(),)}, "pass transform=LearnedSpread"),
        (
            {"update": Gradient(transform=Affine()), "penalties": (CodebookLoss(), UnitAlpha())},
            "learns standard deviations",
        ),
        (
            {"update": Gradient(transform=LearnedSpread()), "penalties": (UnitAlpha(),)},
            "nothing can train the codebook",
        ),
    ],
)
def test_bad_pairs_raise_with_reason_and_remedy(options, message):
    with pytest.raises(codeword.CodewordError, match=message):
        VectorQuantizer(4, 8, **options)


def test_frozen_codes_have_no_revival():
    with pytest.raises(codeword.CodewordError, match="it has: init, transform, sync"):
        codeword.from_spec("vq8,update=frozen(revival=below_share)", features=4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StraightThrough(sync=-1), "sync of StraightThrough"),
        (lambda: Directional(noise=-1), "noise of Directional"),
        (lambda: parts.Sampled(0), "temperature of Sampled"),
        (lambda: parts.Gumbel(temperature=0), "temperature of Gumbel"),
        (lambda: parts.Gumbel(scale=0), "scale of Gumbel"),
        (lambda: parts.ReinMax(0.5), "temperature of ReinMax of at least 1"),
        (lambda: parts.ReinMax(scale=0), "scale of ReinMax"),
        (lambda: parts.Stale(0), "batches of Stale"),
        (lambda: parts.Stale(noise=-1), "noise of Stale"),
        (lambda: parts.Stale(at_most=0), "at_most of Stale"),
        (lambda: parts.BelowCount(-1), "count of BelowCount"),
        (lambda: parts.BelowCount(at_most=0), "at_most of BelowCount"),
        (lambda: parts.BelowBudget(1.0), "share of BelowBudget"),
        (lambda: parts.BelowBudget(decay=1.0), "decay of BelowBudget"),
        (lambda: parts.BelowBudget(at_most=0), "at_most of BelowBudget"),
        (lambda: parts.Split(0.0), "share of Split"),
        (lambda: parts.Split(noise=-1), "noise of Split"),
        (lambda: parts.Split(at_most=0), "at_most of Split"),
        (lambda: parts.Normal(-1), "std of Normal"),
        (lambda: parts.Uniform(-1), "bound of Uniform"),
        (lambda: EMA(smoothing=-1), "smoothing of EMA"),
        (lambda: EMA(init=Commitment()), "a part for init of EMA"),
        (lambda: EMA(revival=EMA()), "a part for revival of EMA"),
        (lambda: Gradient(transform=EMA()), "a part for transform of Gradient"),
        (lambda: Gradient(decay=2), "decay of Gradient"),
        (lambda: Frozen(init=3), "a part for init of Frozen"),
        (lambda: InPlaceSGD(-1), "learning_rate of InPlaceSGD"),
        (lambda: InPlaceSGD(momentum=1), "momentum of InPlaceSGD"),
        (lambda: parts.InPlaceAdam(-1), "learning_rate of InPlaceAdam"),
        (lambda: parts.InPlaceAdam(beta1=1), "beta1 of InPlaceAdam"),
        (lambda: parts.InPlaceAdam(beta2=0), "beta2 of InPlaceAdam"),
        (lambda: CodebookLoss(-1), "weight of CodebookLoss"),
        (lambda: parts.Entropy(-1), "weight of Entropy"),
        (lambda: parts.Entropy(temperature=0), "temperature of Entropy"),
        (lambda: parts.Entropy(share=-1), "share of Entropy"),
        (lambda: parts.Diversity(-1), "weight of Diversity"),
        (lambda: parts.Diversity(temperature=0), "temperature of Diversity"),
        (lambda: Orthogonality(-1), "weight of Orthogonality"),
        (lambda: parts.Wasserstein(-1), "weight of Wasserstein"),
        (lambda: NormCap(-1), "weight of NormCap"),
        (lambda: NormCap(limit=-1), "limit of NormCap"),
        (lambda: UnitAlpha(-1), "weight of UnitAlpha"),
        (lambda: parts.LargeAlpha(-1), "weight of LargeAlpha"),
        (lambda: parts.GrowingAlpha(-1), "weight of GrowingAlpha"),
        (lambda: Affine(rate=-1), "rate of Affine"),
        (lambda: Affine(groups=0), "groups of Affine"),
        (lambda: parts.RunningAffine(1.0), "momentum of RunningAffine"),
        (lambda: LearnedSpread(hidden=0), "hidden of LearnedSpread"),
        (lambda: LearnedSpread(momentum=0), "momentum of LearnedSpread"),
        (lambda: parts.MaxNorm(0), "limit of MaxNorm"),
    ],
)
def test_numbers_that_cannot_be(build, message):
    with pytest.raises(codeword.CodewordError, match=message):
        build()


def test_every_part_has_a_name_in_specs_and_a_docstring():
    for name in parts.PARTS:
        cls = parts.PARTS[name]
        assert cls.__doc__
        assert cls.__module__.startswith("codeword.parts.")
