"""Schedules for the weights of losses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from torch import nn

from codeword.errors import CodewordError
from codeword.models import find_quantizers
from codeword.quantizers import BSQ, LFQ, Quantizer, VectorQuantizer

__all__ = ["LossSchedule"]

NUMBER = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
RAMP = re.compile(rf"([a-z_]+)\.([a-z_]+)=({NUMBER}):({NUMBER})@(\d+)")
OWN = ("commitment", "entropy")  # attributes of quantizers whose losses are not penalties


class _Ramp(NamedTuple):
    kind: str
    loss: str
    begin: float
    end: float
    steps: int

    def at(self, step: int) -> float:
        share = min(1.0, step / self.steps) if self.steps else 1.0
        return self.begin + (self.end - self.begin) * share


class LossSchedule:
    """Ramps of the weights of losses: `lfq.entropy=0.1:0.0@2000` falls from 0.1 to 0 in 2,000 steps, and stays at 0.

    Args:
        text: ramps separated by commas. Each has the name of a quantizer as in specs, the name of the loss as in
            `Quantized.losses`, the weight at the first step, the final weight, and the step at which that is reached.
            None: no schedule.
        model: the model with the quantizers, nested ones included.

    Raises:
        CodewordError: the text has no valid ramps, or the model has no such quantizer or loss.

    Examples:
        >>> from codeword import LFQ
        >>> lfq = LFQ(10, 10)
        >>> schedule = LossSchedule("lfq.entropy=0.1:0.0@2000", lfq)
        >>> schedule.set(500)
        >>> round(lfq.entropy, 6)
        0.075
    """

    def __init__(self, text: str | None, model: nn.Module) -> None:
        self._ramps = [_parsed(part.strip()) for part in text.split(",")] if text else []
        self._targets = {ramp: _targets(ramp, model) for ramp in self._ramps}
        self._before = {
            ramp: [_weight(one, ramp.loss) for one in found] for ramp, found in self._targets.items()
        }
        self.step = 0

    def set(self, step: int) -> None:
        """Set the weights of all losses for a step."""
        self.step = step
        for ramp, quantizers in self._targets.items():
            for quantizer in quantizers:
                _set_weight(quantizer, ramp.loss, ramp.at(step))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """During the block the weights are the original ones, which files should hold at any step."""
        for ramp, quantizers in self._targets.items():
            for quantizer, weight in zip(quantizers, self._before[ramp], strict=True):
                _set_weight(quantizer, ramp.loss, weight)
        try:
            yield
        finally:
            self.set(self.step)


def _parsed(text: str) -> _Ramp:
    found = RAMP.fullmatch(text)
    if found is None:
        expected = "a schedule such as lfq.entropy=0.1:0.0@2000"
        raise CodewordError.of(
            expected, repr(text), "write QUANTIZER.LOSS=FROM:TO@STEP, with commas between several"
        )
    kind, loss, begin, end, steps = found.groups()
    return _Ramp(kind, loss, float(begin), float(end), int(steps))


def _targets(ramp: _Ramp, model: nn.Module) -> list[Quantizer]:
    quantizers = list(find_quantizers(model).values())
    named = [one for one in quantizers if one.spec_name == ramp.kind]
    found = [one for one in named if ramp.loss in _losses(one)]
    if not found:
        known = sorted({f"{one.spec_name}.{loss}" for one in quantizers for loss in _losses(one)})
        got = f"{ramp.kind}.{ramp.loss}"
        raise CodewordError.of(
            f"a loss to schedule among {', '.join(known) or 'none'}", got, "pass one of these"
        )
    return found


def _losses(quantizer: Quantizer) -> tuple[str, ...]:
    if isinstance(quantizer, VectorQuantizer):
        return tuple(penalty.name for penalty in quantizer.penalties)
    return OWN if isinstance(quantizer, LFQ | BSQ) else ()


def _weight(quantizer: Quantizer, loss: str) -> float:
    if isinstance(quantizer, VectorQuantizer):
        return next(penalty.weight for penalty in quantizer.penalties if penalty.name == loss)
    weight: float = getattr(quantizer, loss)
    return weight


def _set_weight(quantizer: Quantizer, loss: str, weight: float) -> None:
    if isinstance(quantizer, VectorQuantizer):
        quantizer.penalties = tuple(
            replace(penalty, weight=weight) if penalty.name == loss else penalty  # type: ignore[type-var]
            for penalty in quantizer.penalties
        )
    else:
        setattr(quantizer, loss, weight)
