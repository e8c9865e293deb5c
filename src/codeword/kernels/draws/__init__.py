"""Stratified draws as one operator, `torch.ops.codeword.strata`; the formulas are in `functional/random.py`.

`strata(state int64 scalar, total int64 scalar, salt, count, sets)` gives positions (sets, count) and which of them are
fresh (count,); `salt` is the hash of tag and purpose. The results are integers, so all implementations agree exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.library import Library

from codeword.constants import numbers
from codeword.kernels.triton import host

__all__ = ["known", "plain", "serves", "strata"]

MASK = 0xFFFFFFFF
GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio


def serves(state: Tensor) -> bool:
    """Whether a kernel computes this. A traced program uses plain torch."""
    return not torch.compiler.is_compiling() and not host.obstacle() and host.serves(state)


def _strata(state: Tensor, total: Tensor, salt: int, count: int, sets: int) -> tuple[Tensor, Tensor]:
    if not host.obstacle() and host.serves(state):
        from codeword.kernels.draws import triton

        return triton.strata(state, total, salt, count, sets)
    return plain(state, total, salt, count, sets)


def plain(state: Tensor, total: Tensor, salt: int, count: int, sets: int) -> tuple[Tensor, Tensor]:
    """In plain torch."""
    each, least = numbers(max(count + 1, sets * count), total.device), total.clamp_min(1)
    return _formula(each, state, total, least, least.clamp_max(count), salt, count, sets)


def known(state: int, total: int, salt: int, count: int, sets: int) -> tuple[Tensor, Tensor]:
    """With numbers that the host has: in NumPy, where an operator on few numbers takes less time than in torch."""
    each, least = np.arange(max(count + 1, sets * count), dtype=np.int64), max(total, 1)
    positions, fresh = _formula(each, state, total, least, min(least, count), salt, count, sets)
    return torch.from_numpy(positions), torch.from_numpy(fresh)


def _formula(
    each: Any, state: Any, total: Any, least: Any, stretches: Any, salt: int, count: int, sets: int
) -> tuple[Any, Any]:
    """In tensors, or in arrays and Python numbers. `each` begins with 0, 1, ...; `least` is the total, at least 1."""
    edges = each[: count + 1] * total // stretches
    fractions = (each[: sets * count].reshape(sets, count) * GOLDEN + ((state >> 30) ^ salt)) & MASK
    positions = edges[:-1] + (fractions * (edges[1:] - edges[:-1]) >> 32)
    return positions % least, each[:count] < total


def _shapes(state: Tensor, total: Tensor, salt: int, count: int, sets: int) -> tuple[Tensor, Tensor]:
    fresh = total.new_empty(count, dtype=torch.bool)
    return total.new_empty((sets, count), dtype=torch.int64), fresh


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define(
    "strata(Tensor state, Tensor total, int salt, int count, int sets) -> (Tensor positions, Tensor fresh)"
)
_LIBRARY.impl("strata", _strata, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::strata", _shapes, lib=_LIBRARY)

strata = torch.ops.codeword.strata.default
