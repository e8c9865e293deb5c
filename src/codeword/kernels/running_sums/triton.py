"""Running sums in one launch."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from codeword.kernels.triton.host import launch

__all__ = ["NUMBERS", "add_up", "running_sums"]

NUMBERS = 1024  # of a program


@triton.jit(do_not_specialize=["numbers", "terms_in_all"])
def add_up(  # type: ignore[no-untyped-def]
    terms,  # (terms_in_all, numbers)
    sums,  # (terms_in_all + 1, numbers)
    numbers,
    terms_in_all,
    NUMBERS: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    inside = at < numbers
    total = tl.zeros((NUMBERS,), tl.float32)
    tl.store(sums + at, total, inside)
    for _ in range(terms_in_all):
        total += tl.load(terms + at, inside, other=0.0)
        at += numbers
        tl.store(sums + at, total, inside)


def running_sums(terms: Tensor) -> Tensor:
    """(M + 1, N, D) of terms (M, N, D)."""
    terms = terms.contiguous()
    sums, numbers = terms.new_empty((len(terms) + 1, *terms.shape[1:])), terms[0].numel()
    if numbers:
        launch(add_up, (triton.cdiv(numbers, NUMBERS),), terms, sums, numbers, len(terms), NUMBERS=NUMBERS)
    return sums
