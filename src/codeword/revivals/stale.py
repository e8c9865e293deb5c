"""Revival of codes that no row has chosen for long."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Revival, State
from codeword.checks import at_least
from codeword.functional import Key, Purpose

__all__ = ["Stale"]


@dataclass(frozen=True)
class Stale(Revival):
    """A code is dead when no row has chosen it for `batches` batches; it moves to a row v, plus noise |v| N(0, I).

    Batches without a valid row do not count.

    Args:
        batches: how many, at least 1; 20 to 100 is usual.
        noise: its standard deviation in units of the row's norm.
        at_most: how many codes may be replaced in one step; None: one in 32, at least one.

    Source: the least-recently-used replacement of Huh et al. 2023 (arXiv:2305.08842).
    """

    batches: int = 100
    noise: float = 0.01
    at_most: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("batches of Stale", self.batches, 1)
        at_least("noise of Stale", self.noise, 0)

    def state(self, cluster_size: Tensor) -> State:
        return {"idle": torch.zeros_like(cluster_size, dtype=torch.int64)}

    def observe(self, state: State, counts: Tensor, total: Tensor) -> State:
        came = (total > 0).long()
        return {"idle": torch.where(counts > 0, 0, state["idle"] + came)}

    def dead(self, state: State) -> Tensor:
        return state["idle"] >= self.batches

    def replacements(self, candidates: Tensor, codes: Tensor, state: State, key: Key) -> Tensor:
        noise = key.normal(Purpose.NOISE, *candidates.shape).to(candidates.dtype)
        return candidates + self.noise * torch.linalg.vector_norm(candidates, dim=-1, keepdim=True) * noise
