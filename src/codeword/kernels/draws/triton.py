"""Stratified draws in one launch."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from codeword.kernels.draws import GOLDEN
from codeword.kernels.draws.triton_code import strata as kernel
from codeword.kernels.triton.host import launch

__all__ = ["strata"]

DRAWS = 256  # of a program


def strata(state: Tensor, total: Tensor, salt: int, count: int, sets: int) -> tuple[Tensor, Tensor]:
    """Positions (sets, count), and which of them are fresh (count,)."""
    positions = total.new_empty((sets, count), dtype=torch.int64)
    fresh = total.new_empty(count, dtype=torch.bool)
    if positions.numel():
        grid = (triton.cdiv(positions.numel(), DRAWS),)
        launch(kernel, grid, state, total, positions, fresh, salt, count, sets, GOLDEN=GOLDEN, DRAWS=DRAWS)
    return positions, fresh
