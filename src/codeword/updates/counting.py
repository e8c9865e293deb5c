"""Running counts of how often codes are chosen, which every update rule keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.axes import State, Updated
from codeword.kernels.moving_average import MIN_SIZE, rate_of

__all__ = ["if_any", "rate_of", "running", "smoothed"]


def running(state: State, counts: Tensor, rate: Tensor) -> Tensor:
    """The running cluster sizes (..., K) after a step with counts (..., K)."""
    return state["cluster_size"].lerp(counts, rate).clamp_min(MIN_SIZE)


def smoothed(size: Tensor, smoothing: float) -> Tensor:
    """Laplace smoothing of the cluster sizes (..., K): (N_k + e) / (N + K e) N, with N their sum."""
    total = size.sum(-1, keepdim=True)
    return (size + smoothing) / (total + size.shape[-1] * smoothing) * total


def if_any(total: Tensor, new: Updated, codes: Tensor, state: State) -> Updated:
    """The new codes and state; the old ones if the step had no valid row."""
    any_row = total > 0
    kept = {name: torch.where(any_row, value, state[name]) for name, value in new[1].items()}
    return torch.where(any_row, new[0], codes), kept
