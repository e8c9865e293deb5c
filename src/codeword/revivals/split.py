"""Revival by splitting the codes that are used most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Revival, State
from codeword.checks import at_least, between
from codeword.functional import Key, Purpose

__all__ = ["Split"]


@dataclass(frozen=True)
class Split(Revival):
    """A code is dead as for `BelowShare`; the i-th dead code moves next to the i-th most used code and splits it.

    It becomes that code plus noise |c| N(0, I) / sqrt(D), so the two share its rows from then on.

    Args:
        share: of the mean count, 0 < share < 1.
        noise: its length in units of the norm of the code.
        at_most: how many codes may be replaced in one step; None: one in 32, at least one.

    Source: Linde, Buzo and Gray 1980; for networks UViM, Kolesnikov et al. 2022 (arXiv:2205.10337).
    """

    share: float = 0.05
    noise: float = 0.01
    at_most: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        between("share of Split", self.share, 0, 1)
        at_least("noise of Split", self.noise, 0)

    def candidates(self, codebook_size: int) -> int:
        return 0  # its replacements are computed from the codes

    def dead(self, state: State) -> Tensor:
        return state["cluster_size"] < self.share * state["cluster_size"].mean(-1, keepdim=True)

    def replacements(self, candidates: Tensor, codes: Tensor, state: State, key: Key) -> Tensor:
        index = state["cluster_size"].topk(self.max_replaced(codes.shape[-2])).indices
        split = codes.gather(-2, index[..., None].expand(*index.shape, codes.shape[-1]))
        noise = key.normal(Purpose.NOISE, *split.shape).to(split.dtype) * split.shape[-1] ** -0.5
        return split + self.noise * torch.linalg.vector_norm(split, dim=-1, keepdim=True) * noise
