"""Recipes: functions that return a whole config."""

from __future__ import annotations

from codeword.workbench.config import TrainConfig

__all__ = ["demo"]


def demo(steps: int = 4500, minutes: float = 3.2) -> TrainConfig:
    """The built-in photographs in about three minutes on a CPU: 1,024 codes of 8 x 8 pixels.

    Few of these photographs have colours, so that their colours are shuffled: it gave 2.7 dB on a blue sky. One
    thread, because two gain little on a free machine and lose tenfold on a busy one.

    Args:
        steps: training steps.
        minutes: the longest that training may take, on a slower machine.

    Example:
        >>> demo().quantizer
        'vq1024'
    """
    return TrainConfig(steps=steps, minutes=minutes, shuffle_colours=True, threads=1)
