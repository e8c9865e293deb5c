"""Parts that do not go together, and numbers that parts cannot take: each error says why and what to do."""

from __future__ import annotations

import pytest

import codeword
from codeword import VectorQuantizer, estimators, inits, penalties, revivals, transforms, updates
from codeword.estimators import Directional, StraightThrough
from codeword.penalties import CodebookLoss, Commitment, NormCap, Orthogonality, UnitAlpha
from codeword.quantizers.spec.parts import PARTS
from codeword.transforms import Affine, LearnedSpread, Linear, SpaceFilling
from codeword.updates import EMA, Frozen, Gradient, InPlaceSGD


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"update": Gradient()}, "nothing can train the codebook; add CodebookLoss"),
        ({"estimator": EMA()}, "pass one of: .*Gumbel, ReinMax, .*StraightThrough"),
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
        (lambda: estimators.Sampled(0), "temperature of Sampled"),
        (lambda: estimators.Gumbel(temperature=0), "temperature of Gumbel"),
        (lambda: estimators.Gumbel(scale=0), "scale of Gumbel"),
        (lambda: estimators.ReinMax(0.5), "temperature of ReinMax of at least 1"),
        (lambda: estimators.ReinMax(scale=0), "scale of ReinMax"),
        (lambda: revivals.Stale(0), "batches of Stale"),
        (lambda: revivals.Stale(noise=-1), "noise of Stale"),
        (lambda: revivals.Stale(at_most=0), "at_most of Stale"),
        (lambda: revivals.BelowCount(-1), "count of BelowCount"),
        (lambda: revivals.BelowCount(at_most=0), "at_most of BelowCount"),
        (lambda: revivals.BelowBudget(1.0), "share of BelowBudget"),
        (lambda: revivals.BelowBudget(decay=1.0), "decay of BelowBudget"),
        (lambda: revivals.BelowBudget(at_most=0), "at_most of BelowBudget"),
        (lambda: revivals.Split(0.0), "share of Split"),
        (lambda: revivals.Split(noise=-1), "noise of Split"),
        (lambda: revivals.Split(at_most=0), "at_most of Split"),
        (lambda: inits.Normal(-1), "std of Normal"),
        (lambda: inits.Uniform(-1), "bound of Uniform"),
        (lambda: EMA(smoothing=-1), "smoothing of EMA"),
        (lambda: EMA(init=Commitment()), "a part for init of EMA"),
        (lambda: EMA(revival=EMA()), "a part for revival of EMA"),
        (lambda: Gradient(transform=EMA()), "a part for transform of Gradient"),
        (lambda: Gradient(decay=2), "decay of Gradient"),
        (lambda: Frozen(init=3), "a part for init of Frozen"),
        (lambda: InPlaceSGD(-1), "learning_rate of InPlaceSGD"),
        (lambda: InPlaceSGD(momentum=1), "momentum of InPlaceSGD"),
        (lambda: updates.InPlaceAdam(-1), "learning_rate of InPlaceAdam"),
        (lambda: updates.InPlaceAdam(beta1=1), "beta1 of InPlaceAdam"),
        (lambda: updates.InPlaceAdam(beta2=0), "beta2 of InPlaceAdam"),
        (lambda: CodebookLoss(-1), "weight of CodebookLoss"),
        (lambda: penalties.Entropy(-1), "weight of Entropy"),
        (lambda: penalties.Entropy(temperature=0), "temperature of Entropy"),
        (lambda: penalties.Entropy(share=-1), "share of Entropy"),
        (lambda: penalties.Diversity(-1), "weight of Diversity"),
        (lambda: penalties.Diversity(temperature=0), "temperature of Diversity"),
        (lambda: Orthogonality(-1), "weight of Orthogonality"),
        (lambda: penalties.Wasserstein(-1), "weight of Wasserstein"),
        (lambda: NormCap(-1), "weight of NormCap"),
        (lambda: NormCap(limit=-1), "limit of NormCap"),
        (lambda: UnitAlpha(-1), "weight of UnitAlpha"),
        (lambda: penalties.LargeAlpha(-1), "weight of LargeAlpha"),
        (lambda: penalties.GrowingAlpha(-1), "weight of GrowingAlpha"),
        (lambda: Affine(rate=-1), "rate of Affine"),
        (lambda: Affine(groups=0), "groups of Affine"),
        (lambda: transforms.RunningAffine(1.0), "momentum of RunningAffine"),
        (lambda: LearnedSpread(hidden=0), "hidden of LearnedSpread"),
        (lambda: LearnedSpread(momentum=0), "momentum of LearnedSpread"),
        (lambda: transforms.MaxNorm(0), "limit of MaxNorm"),
    ],
)
def test_numbers_that_cannot_be(build, message):
    with pytest.raises(codeword.CodewordError, match=message):
        build()


def test_every_part_has_a_name_in_specs_and_a_docstring():
    for name in PARTS:
        cls = PARTS[name]
        assert cls.__doc__
        assert cls.__module__.startswith("codeword.")
