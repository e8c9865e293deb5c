"""The step of a moving average with the vector code of `llvm_code`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from codeword.kernels.llvm import engine, pool
from codeword.kernels.llvm.engine import address
from codeword.kernels.moving_average import llvm_code

__all__ = ["in_place_"]


def in_place_(codes: Sequence[Tensor], size: Tensor, counts: Tensor, sums: Tensor, rate: Tensor) -> Tensor:
    """Write into G contiguous codebooks (K, D); the sizes (G, K) come back."""
    size, counts, sums = size.contiguous(), counts.contiguous(), sums.contiguous()
    after, run = torch.empty_like(size), _compiled()

    def piece(group: int) -> None:
        k, d = codes[group].shape
        each = (address(part, group * k) for part in (size, counts, after))
        run(k, d, address(rate), *each, address(sums, group * k * d), address(codes[group]))

    pool.for_each(piece, len(codes))
    for own in codes:
        increment_version(own)  # vector code does not do this; it marks prepared codes as outdated
    return after


@cache
def _compiled() -> Callable[..., None]:
    return engine.function(llvm_code.module(engine.lanes()), "moving_average")
