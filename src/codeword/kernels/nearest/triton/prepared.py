"""Codes ready for searches, in two launches."""

from __future__ import annotations

import triton
from torch import Tensor

from codeword.kernels.nearest.prepare import SAMPLE, Prepared
from codeword.kernels.nearest.triton.prepare_code import centre, centred
from codeword.kernels.triton.host import launch

__all__ = ["prepare"]

FEATURES, CODES = 16, 32  # of a program


def prepare(codes: Tensor, metric: str) -> Prepared:
    """As `kernels.nearest.prepare.prepare`, of float32 codes (G, K, D)."""
    codes = codes.contiguous()
    groups, size, features = codes.shape
    middle, shift = (codes.new_empty((groups, features)) for _ in range(2))
    less, offsets = codes.new_empty(codes.shape), codes.new_empty((groups, size))
    if not codes.numel():
        return Prepared(less, offsets.zero_(), shift.zero_())
    step = triton.cdiv(size, SAMPLE)
    launch(
        centre,
        (triton.cdiv(features, FEATURES), groups),
        codes,
        middle,
        shift,
        size,
        step,
        triton.cdiv(size, step),
        D=features,
        EUCLIDEAN=metric == "euclidean",
        SAMPLE=SAMPLE,
        CHUNK=FEATURES,
    )
    launch(
        centred,
        (triton.cdiv(size, CODES), groups),
        codes,
        middle,
        less,
        offsets,
        size,
        D=features,
        EUCLIDEAN=metric == "euclidean",
        CODES=CODES,
        CHUNK=min(64, triton.next_power_of_2(features)),
    )
    return Prepared(less, offsets, shift)
