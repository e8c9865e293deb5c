"""Codes ready for searches, packed, in two launches."""

from __future__ import annotations

import triton
from torch import Tensor

from codeword.kernels.nearest.prepare import SAMPLE, Prepared
from codeword.kernels.nearest.prepare import prepare as plain
from codeword.kernels.nearest.triton.parts import pack
from codeword.kernels.nearest.triton.prepare_code import centre
from codeword.kernels.triton.host import launch

__all__ = ["prepare"]

FEATURES = 16  # of a program


def prepare(codes: Tensor, metric: str) -> Prepared:
    """As `kernels.nearest.prepare.prepare`, of float32 codes (G, K, D), packed where a kernel can keep them so."""
    codes = codes.contiguous()
    groups, size, features = codes.shape
    if metric == "cosine" or not codes.numel():
        return plain(codes, metric)
    middle, shift = (codes.new_empty((groups, features)) for _ in range(2))
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
    return Prepared(*pack(codes, middle, None, euclidean=metric == "euclidean"), shift)
