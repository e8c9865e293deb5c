"""Running counts of how often codes are chosen: what every rule keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.parts.axes import Init, Revival, Transform, Update, require
from codeword.parts.checks import between

__all__ = ["check_rule", "decay_of", "running"]


def check_rule(rule: Update, decay: float | None = None) -> None:
    """Raise unless the parts of a rule are parts, and its decay is one."""
    name = type(rule).__name__
    if decay is not None:
        between(f"decay of {name}", decay, 0, 1)
    if rule.init is not None:
        require(f"init of {name}", rule.init, Init)
    if rule.revival is not None:
        require(f"revival of {name}", rule.revival, Revival)
    if rule.transform is not None:
        require(f"transform of {name}", rule.transform, Transform)


def decay_of(decay: float | None, load: Tensor) -> Tensor:
    """The decay g of a step whose valid rows per code are `load`: the given one, or one from the load.

    None stands for g = 1 - load / 25 within 0.8 to 0.98: the last 25 rows, of 50 steps at most, for where codes are
    more than rows it matters more that dead ones are found soon.
    """
    return (1 - load / 25).clamp(0.8, 0.98) if decay is None else torch.full_like(load, decay)


def running(counts: Tensor, hits: Tensor, decay: float | None) -> tuple[Tensor, Tensor]:
    """The running counts (K,) after a step with hits (K,), and the decay of that step: 1 when no row came."""
    total = hits.sum()
    g = torch.where(total > 0, decay_of(decay, total / len(hits)), 1.0)
    return (g * counts + (1 - g) * hits).clamp_min(1e-20), g
