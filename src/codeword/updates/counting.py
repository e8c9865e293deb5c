"""Running counts of how often codes are chosen, which every update rule keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.axes import Init, Revival, State, Transform, Update, require
from codeword.checks import between
from codeword.kernels import moving_average as kernel

__all__ = ["check_rule", "rate_of", "running"]


def check_rule(rule: Update, decay: float | None = None) -> None:
    """Raise unless the arguments of a rule are valid parts and its decay is in range."""
    name = type(rule).__name__
    if decay is not None:
        between(f"decay of {name}", decay, 0, 1)
    if rule.init is not None:
        require(f"init of {name}", rule.init, Init)
    if rule.revival is not None:
        require(f"revival of {name}", rule.revival, Revival)
    if rule.transform is not None:
        require(f"transform of {name}", rule.transform, Transform)


def rate_of(decay: float | None, total: Tensor, codebook_size: int, dtype: torch.dtype) -> Tensor:
    """The rate 1 - g with which a step of `total` rows enters the averages: 1 - decay; 0 for a step without rows.

    Without a decay: load / 25 clamped to 0.02 ... 0.2, with load = total / K: an average over about 25 rows a code, and
    at most 50 steps. With more codes than rows, dead codes must be found early.
    """
    return kernel.rate_of(decay, total, codebook_size, dtype)


def running(state: State, counts: Tensor, rate: Tensor) -> Tensor:
    """The running cluster sizes (..., K) after a step with counts (..., K)."""
    return state["cluster_size"].lerp(counts, rate).clamp_min(kernel.MIN_SIZE)
