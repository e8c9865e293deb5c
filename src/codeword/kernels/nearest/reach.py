"""Which numbers a search can multiply."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["in_reach"]


def in_reach(rows: Tensor, codes: Tensor, metric: str) -> bool:
    """Whether no square or product of the vectors (..., D) is lost: in float32 they are within 3e-15 to 3e14.

    Entries of 1e30 have infinite squares, and those of 1e-20 squares that are rounded to few bits, or to 0. If only
    differences matter, rows may be arbitrarily short. Zeros and entries that are not finite are ignored.
    """
    return _within(codes, shortest=True) and _within(rows, shortest=metric != "euclidean")


def _within(vectors: Tensor, *, shortest: bool) -> bool:
    if not vectors.numel():
        return True
    dtype = torch.promote_types(vectors.dtype, torch.float32)  # halves are multiplied in float32
    most = torch.finfo(dtype).max ** 0.375
    least = 1 / most if shortest else 0.0
    # The lengths take half the time of the entries, which decide.
    lengths = torch.linalg.vector_norm(vectors, dim=-1, dtype=dtype)
    if bool(((lengths >= least) & (lengths <= most)).all()):
        return True
    largest = vectors.abs().amax(-1)
    out = (largest < least) | (largest > most)
    return not bool((out & (largest > 0) & (largest < torch.inf)).any())
