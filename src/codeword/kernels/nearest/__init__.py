"""Nearest-code search as one operator, `torch.ops.codeword.nearest`.

`nearest(rows (G, N, D), codes (G, K, D), metric, k) -> indices (G, N) for k = 1, (G, N, k) for k > 1`,
metric "euclidean" or "dot". All tensors are float32 or float64 alike. Shapes are the caller's to check.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.kernels.nearest.dispatch import search

__all__ = ["nearest"]

_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define("nearest(Tensor rows, Tensor codes, str metric, int k) -> Tensor")
_LIBRARY.impl("nearest", search, "CompositeExplicitAutograd")


def _shape(rows: Tensor, codes: Tensor, metric: str, k: int) -> Tensor:
    shape = rows.shape[:-1] if k == 1 else (*rows.shape[:-1], k)
    return rows.new_empty(shape, dtype=torch.int64)


torch.library.register_fake("codeword::nearest", _shape, lib=_LIBRARY)

nearest = torch.ops.codeword.nearest.default
