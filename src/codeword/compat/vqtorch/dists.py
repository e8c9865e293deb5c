"""Distances: to the nearest codes, and between vectors and their codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import nearest
from codeword.functional.nearest import Metric

__all__ = [
    "cosine_cdist_topk",
    "cosine_distance",
    "euclidean_cdist_topk",
    "euclidean_distance",
    "get_dist_fns",
]


def get_dist_fns(dist: str) -> tuple[Callable[..., Tensor], Callable[..., dict[str, Tensor]]]:
    """The error and the search of "euclidean" ("euc") or "cosine" ("cos")."""
    if dist in ("euc", "euclidean"):
        return euclidean_distance, euclidean_cdist_topk
    if dist in ("cos", "cosine"):
        return cosine_distance, cosine_cdist_topk
    raise CodewordError.of("dist 'euclidean' or 'cosine'", repr(dist), "pass one of them")


def euclidean_distance(z: Tensor, z_q: Tensor) -> Tensor:
    """The mean squared difference of each item of the first axis."""
    if z.shape != z_q.shape:
        raise CodewordError.of(
            "z and z_q of one shape", f"{tuple(z.shape)} and {tuple(z_q.shape)}", "reshape one"
        )
    return (z_q - z).square().flatten(1).mean(1) if z.ndim > 1 else (z_q - z).square()


def cosine_distance(z: Tensor, z_q: Tensor) -> Tensor:
    """As `euclidean_distance`, of vectors of length 1 along the last axis."""
    return euclidean_distance(F.normalize(z, dim=-1), F.normalize(z_q, dim=-1))


def euclidean_cdist_topk(
    tensor: Tensor,
    codebook: Tensor,
    compute_chunk_size: int = 1024,
    topk: int = 1,
    half_precision: bool = False,
) -> dict[str, Tensor]:
    """The distances `d` to the nearest codes and their indices `q`, (batch, n, topk) each, nearest first.

    Args:
        tensor: (batch, n, features).
        codebook: (codes, features).
        compute_chunk_size: has no effect: memory is always bounded.
        topk: how many; -1 for all.
        half_precision: rounds both sides to half, as the original does; the search is exact for these.

    Examples:
        >>> import torch
        >>> found = euclidean_cdist_topk(torch.zeros(1, 2, 3), torch.eye(3) * torch.arange(1.0, 4.0))
        >>> found["q"].shape, found["d"][0, 0]
        (torch.Size([1, 2, 1]), tensor([1.]))
    """
    d, q = _search(tensor, codebook, topk, half_precision, "euclidean")
    return {"d": d.clamp_min(0).sqrt(), "q": q}


def cosine_cdist_topk(
    tensor: Tensor, codebook: Tensor, chunks: int = 4, topk: int = 1, half_precision: bool = False
) -> dict[str, Tensor]:
    """As `euclidean_cdist_topk`, with 1 - cosine as the distance."""
    d, q = _search(tensor, codebook, topk, half_precision, "cosine")
    return {"d": d, "q": q}


def _search(
    tensor: Tensor, codebook: Tensor, topk: int, half_precision: bool, metric: Metric
) -> tuple[Any, Any]:
    if tensor.ndim != 3 or tensor.shape[2] != codebook.shape[-1]:
        raise CodewordError.of(
            f"a tensor (batch, n, {codebook.shape[-1]})", f"shape {tuple(tensor.shape)}", "reshape it"
        )
    k = len(codebook) if topk == -1 else topk
    sides = [side.half().float() for side in (tensor, codebook)] if half_precision else [tensor, codebook]
    q, d = nearest(sides[0].flatten(0, 1), sides[1], metric=metric, k=k, return_distances=True)
    shape = (*tensor.shape[:2], k)
    return d.view(shape).to(tensor.dtype), q.view(shape)
