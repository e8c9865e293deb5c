"""A rotation of vectors that makes groups of their features easy to quantize: OPQ."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from codeword.functional import PrincipalComponents, kmeans, nearest
from codeword.functional.weights import weighted

__all__ = ["optimal_rotation", "turn"]

_ROUNDS = 20


def optimal_rotation(
    batches: Iterable[Tensor], sizes: list[int], weights: Tensor | None, seed: int
) -> Tensor:
    """The rotation R (D, D) for which groups of features of R x, each with a codebook, have a small error.

    It starts with principal axes, distributed so that the groups have similar products of variances. Then two steps
    alternate: the codebooks make a Lloyd step on rotated vectors, and R becomes the orthogonal matrix that maps the
    vectors nearest to their codes: U V^T of the singular vectors of the sum over vectors of q x^T.

    Args:
        batches: vectors (N, D), read some times for each round; while rotated, all of them are in memory.
        sizes: how many codes each group of D / groups features has.
        weights: (N,) of all vectors, or None: all ones.
        seed: decides the first codes.

    Source: Ge et al. 2013, "Optimized product quantization"; Norouzi and Fleet 2013, "Cartesian k-means".
    """
    rotation = _balanced_axes(batches, len(sizes))
    width = rotation.shape[0] // len(sizes)
    books: list[Tensor] = []
    for round_ in range(_ROUNDS):
        turned = [turn(rows, rotation) for rows in batches]
        groups = [
            [rows[:, g * width : (g + 1) * width].contiguous() for rows in turned] for g in range(len(sizes))
        ]
        books = [
            kmeans(
                rows, size, steps=1, start=books[g] if round_ else "k-means++", weights=weights, seed=seed + g
            )
            for g, (rows, size) in enumerate(zip(groups, sizes, strict=True))
        ]
        products = torch.zeros_like(rotation)
        for number, (rows, own) in enumerate(weighted(batches, weights)):
            found = [codes[nearest(group[number], codes)] for group, codes in zip(groups, books, strict=True)]
            quantized = torch.where(own[:, None] > 0, torch.cat(found, 1), 0).double()
            products += quantized.T @ (torch.where(own[:, None] > 0, rows, 0).double() * own[:, None])
        outer, _, inner = torch.linalg.svd(products)
        rotation = outer @ inner
    return rotation


def turn(rows: Tensor, rotation: Tensor) -> Tensor:
    """R x for rows (N, D), float32 or wider."""
    dtype = torch.promote_types(rows.dtype, torch.float32)
    return rows.to(dtype) @ rotation.T.to(dtype)


def _balanced_axes(batches: Iterable[Tensor], groups: int) -> Tensor:
    """Principal axes in the rows (D, D), float64: each in turn goes to the group of the smallest variance so far."""
    components = PrincipalComponents(batches)
    axes = components.axes
    if axes.shape[1] < axes.shape[0]:  # few vectors, or many features: any directions that complete them
        axes = torch.linalg.qr(
            torch.cat([axes, torch.eye(len(axes), dtype=axes.dtype, device=axes.device)], 1)
        ).Q
    variances = axes.new_zeros(axes.shape[1])
    for rows in batches:
        centred = rows[rows.isfinite().all(1)].double() - components.mean
        variances += (centred @ axes).square().sum(0)
    logs = variances.clamp_min(torch.finfo(torch.float64).tiny).log()
    shares = (logs - logs.min()).tolist()  # the smallest adds nothing to a product
    width = len(axes) // groups
    dealt: list[list[int]] = [[] for _ in range(groups)]
    for axis in sorted(range(len(axes)), key=shares.__getitem__, reverse=True):
        room = [group for group in dealt if len(group) < width]
        min(room, key=lambda group: sum(shares[one] for one in group)).append(axis)
    return axes[:, [axis for group in dealt for axis in group]].T.contiguous()
