"""The schedule of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from codeword.workbench.config import TrainConfig

__all__ = ["learning_rate"]

_FALL: dict[str, Callable[[float], float]] = {
    "cosine": lambda share: 0.5 + 0.5 * math.cos(math.pi * share),
    "linear": lambda share: 1 - share,
    "constant": lambda share: 1.0,
}


def learning_rate(config: TrainConfig, step: int, share: float) -> float:
    """The learning rate of a step: it rises linearly over the warm-up, and then follows the schedule.

    Args:
        config: the settings.
        step: the number of completed steps.
        share: the completed share of the run, by steps or by time: 0 to 1.

    Examples:
        >>> config = TrainConfig(steps=100, learning_rate=1.0, warm_up=0.1, rate_schedule="linear")
        >>> [round(learning_rate(config, step, step / 100), 3) for step in (0, 4, 9, 50, 100)]
        [0.1, 0.48, 0.91, 0.5, 0.0]
    """
    rising = (step + 1) / max(1, int(config.warm_up * config.steps))
    return config.learning_rate * min(1.0, rising) * _FALL[config.rate_schedule](share)
