"""Codes moved by an optimiser of their own, from counts and sums: no backward pass is needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Init, Revival, State, Update, Updated
from codeword.checks import at_least, between
from codeword.inits import KMeans
from codeword.revivals import BelowShare
from codeword.updates.counting import if_any, rate_of, running

__all__ = ["InPlaceAdam", "InPlaceSGD"]


@dataclass(frozen=True)
class InPlaceSGD(Update):
    """At each step the codes take one step of SGD on the quantization error, before the output.

    The gradient of the mean of (c - x)^2 over N rows and D features is known from counts and sums alone, so ranks
    agree by the same exchange as for `EMA`:

        g_k = 2 (n_k c_k - s_k) / (N D)        v_k <- momentum v_k + g_k        c_k <- c_k - rate v_k

    A code that no row chose has g_k = 0, and moves on with its momentum.

    Args:
        learning_rate: of the mean over rows and features, so large: a code with the mean share of the rows moves
            2 rate / (K D) of the way to their mean, before momentum.
        momentum: 0 to below 1.
        init: as for `Gradient`.
        revival: as for `Gradient`.
        sync: as for `Gradient`.
        decay: as for `Gradient`.

    Source: the alternated optimisation of Huh et al. 2023 (arXiv:2305.08842), with the rates of its example.
    """

    learning_rate: float = 50.0
    momentum: float = 0.9
    init: Init | None = KMeans()
    revival: Revival | None = BelowShare()
    sync: bool = True
    decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("learning_rate of InPlaceSGD", self.learning_rate, 0)
        if self.momentum:
            between("momentum of InPlaceSGD", self.momentum, 0, 1)

    def state(self, codes: Tensor, cluster_size: Tensor) -> State:
        return {"cluster_size": cluster_size, "velocity": torch.zeros_like(codes)}

    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        velocity = self.momentum * state["velocity"] + error_gradient(codes, counts, sums, total)
        moved = codes - self.learning_rate * velocity
        size = running(state, counts, rate_of(self.decay, total, codes.shape[-2], codes.dtype))
        return if_any(total, (moved, {"cluster_size": size, "velocity": velocity}), codes, state)


@dataclass(frozen=True)
class InPlaceAdam(Update):
    """As `InPlaceSGD`, with Adam's steps: each feature moves by about the learning rate, whatever its gradient's size.

    Moments and the number of steps are kept for each code, so that a revived code starts anew.

    Args:
        learning_rate: in units of the features.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        init: as for `Gradient`.
        revival: as for `Gradient`.
        sync: as for `Gradient`.
        decay: as for `Gradient`.

    Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1.
    """

    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    init: Init | None = KMeans()
    revival: Revival | None = BelowShare()
    sync: bool = True
    decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("learning_rate of InPlaceAdam", self.learning_rate, 0)
        between("beta1 of InPlaceAdam", self.beta1, 0, 1)
        between("beta2 of InPlaceAdam", self.beta2, 0, 1)

    def state(self, codes: Tensor, cluster_size: Tensor) -> State:
        return {
            "cluster_size": cluster_size,
            "steps": torch.zeros_like(cluster_size),
            "first_moment": torch.zeros_like(codes),
            "second_moment": torch.zeros_like(codes),
        }

    def update(self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor) -> Updated:
        gradient = error_gradient(codes, counts, sums, total)
        steps = state["steps"] + 1
        first = self.beta1 * state["first_moment"] + (1 - self.beta1) * gradient
        second = self.beta2 * state["second_moment"] + (1 - self.beta2) * gradient.square()
        direction = first / (1 - self.beta1**steps)[..., None]
        size = (second / (1 - self.beta2**steps)[..., None]).sqrt()
        # Far below the usual 1e-8, because these gradients are of a mean over all rows.
        moved = codes - self.learning_rate * direction / (size + 1e-15)
        new = {
            "cluster_size": running(state, counts, rate_of(self.decay, total, codes.shape[-2], codes.dtype)),
            "steps": steps,
            "first_moment": first,
            "second_moment": second,
        }
        return if_any(total, (moved, new), codes, state)


def error_gradient(codes: Tensor, counts: Tensor, sums: Tensor, total: Tensor) -> Tensor:
    """The gradient (..., K, D) of the mean of (c - x)^2 over N rows and D features: 2 (n c - s) / (N D).

    Gradients below the rounding error are set to 0: for a code at the mean of its rows, as k-means leaves it, Adam
    would otherwise take a full step on noise.
    """
    counts = counts[..., None]
    left = counts * codes - sums
    size = codes.square().mean((-2, -1), keepdim=True).sqrt()
    rounding = 8 * torch.finfo(codes.dtype).eps * counts * size
    left = torch.where(left.abs() <= rounding, 0.0, left)
    return 2 * left / (total.clamp_min(1) * codes.shape[-1])
