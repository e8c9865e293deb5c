"""Checks for parts of a vector quantizer that cannot be combined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from codeword.axes import Estimator, Metric, Penalty, Update
from codeword.errors import CodewordError

__all__ = ["check_compatible", "check_stages"]


def check_compatible(
    rule: Update, metric: Metric, estimator: Estimator, penalties: Sequence[Penalty]
) -> None:
    """Raise for parts that would leave the codes untrained, or would have no effect."""
    name = type(rule).__name__
    learned = rule.transform is not None and rule.transform.learns
    if rule.by_gradient or learned:
        _check_codes_get_gradients(name, estimator, penalties)
    else:
        _check_no_gradient_is_lost(name, estimator, penalties)
    _check_revival(rule, name)
    _check_counts(rule, metric, estimator)
    _check_penalties(rule, name, penalties)


def check_stages(quantizers: Iterable[nn.Module]) -> None:
    """Raise for estimators that need a single lookup, because a stack applies one estimator to the whole sum."""
    for module in (module for quantizer in quantizers for module in quantizer.modules()):
        estimator = getattr(module, "estimator", None)
        if isinstance(estimator, Estimator) and estimator.single_lookup_only:
            raise CodewordError.of(
                "stages whose estimator can be applied once, to the sum of their codes",
                f"{estimator}, whose gradient is that of a single lookup",
                "pass StraightThrough(), Rotation(), or Sampled() to draw codes; StraightThrough(sync=1.0) where the "
                "output is to train the codes",
            )


def _check_codes_get_gradients(name: str, estimator: Estimator, penalties: Sequence[Penalty]) -> None:
    if estimator.trains_codes or any(penalty.trains_codes for penalty in penalties):
        return
    raise CodewordError.of(
        f"something that gives the codes of {name} a gradient",
        f"{estimator} and penalties {tuple(penalties)}, of which nothing can train the codebook",
        "add CodebookLoss() to the penalties, or take StraightThrough(sync=1.0) or Directional()",
    )


def _check_no_gradient_is_lost(name: str, estimator: Estimator, penalties: Sequence[Penalty]) -> None:
    if estimator.requires_gradient_codes:
        raise CodewordError.of(
            f"codes that learn by gradient with {estimator}",
            f"{name}, whose codes take none",
            "pass update=Gradient(), or StraightThrough()",
        )
    for penalty in penalties:
        if penalty.trains_codes and not penalty.trains_rows:
            raise CodewordError.of(
                f"codes that learn by gradient with {penalty}",
                f"{name}, whose codes take none",
                f"leave {type(penalty).__name__} out, or pass update=Gradient()",
            )


def _check_revival(rule: Update, name: str) -> None:
    if rule.revival is not None and rule.transform is not None and not rule.transform.invertible:
        raise CodewordError.of(
            f"no revival with {rule.transform}",
            f"{name} with {rule.revival}, which moves codes to given places",
            "pass revival=None: these codes are moved by the transform",
        )


def _check_counts(rule: Update, metric: Metric, estimator: Estimator) -> None:
    if not metric.uses_counts:
        return
    if not rule.learns:
        raise CodewordError.of(
            f"a rule that counts how often codes are chosen with {metric}",
            f"{rule}, which keeps nothing",
            "pass update=EMA(), or metric=Euclidean()",
        )
    if estimator.draws:
        raise CodewordError.of(
            f"an estimator that takes the best code with {metric}",
            f"{estimator}, which draws by distance alone",
            "pass estimator=StraightThrough(), or metric=Euclidean()",
        )


def _check_penalties(rule: Update, name: str, penalties: Sequence[Penalty]) -> None:
    names = [penalty.name for penalty in penalties]
    for repeated in {n for n in names if names.count(n) > 1}:
        raise CodewordError.of(f"one penalty named {repeated}", f"{tuple(penalties)}", "leave the others out")
    for penalty in penalties:
        if penalty.needs_alpha and not (rule.transform is not None and rule.transform.has_alpha):
            raise CodewordError.of(
                f"a transform that learns standard deviations with {penalty}",
                f"{name} with transform {rule.transform}",
                "pass transform=LearnedSpread() to the update rule, or leave the penalty out",
            )
