"""Maps resized along each axis, by one product an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = ["resize_maps"]


def resize_maps(
    maps: Tensor, old: Sequence[int], new: Sequence[int], mode: Literal["area", "bilinear", "bicubic"]
) -> Tensor:
    """Resize maps: the same result on all devices, in all batches, and in the backward pass.

    Args:
        maps: (N, *old, D).
        old: the size of the maps.
        new: the size of the result.
        mode: "area": means over areas; "bilinear": between the two nearest places along each axis; "bicubic": cubic
            convolution (Keys 1981, a = -0.75, as in torch).

    Returns:
        (N, *new, D).

    Examples:
        >>> resize_maps(torch.tensor([1.0, 3.0, 5.0, 7.0]).view(1, 4, 1), (4,), (2,), "area").flatten()
        tensor([2., 6.])
    """
    for axis, (before, after) in enumerate(zip(old, new, strict=True), start=1):
        if before != after:
            weights = _weights(before, after, mode, maps)
            maps = torch.tensordot(maps, weights, dims=([axis], [1])).movedim(-1, axis)
    return maps.contiguous()


def _weights(before: int, after: int, mode: str, like: Tensor) -> Tensor:
    """The matrix (after, before) of a resize along one axis."""
    columns = torch.arange(before, dtype=torch.int64, device=like.device)
    places = torch.arange(after, dtype=torch.float64, device=like.device)
    if mode == "area":
        start, end = (places * before / after).floor(), ((places + 1) * before / after).ceil()
        inside = (columns >= start[:, None]) & (columns < end[:, None])
        return (inside / (end - start)[:, None]).to(like.dtype)
    centre = (places + 0.5) * before / after - 0.5
    taps, kernel = ((0, 1), _tent) if mode == "bilinear" else ((-1, 0, 1, 2), _keys)
    weights = torch.zeros(after, before, dtype=torch.float64, device=like.device)
    for tap in taps:
        column = centre.floor() + tap
        weights = weights + kernel(centre - column)[:, None] * (
            column.clamp(0, before - 1)[:, None] == columns
        )
    return weights.to(like.dtype)


def _tent(distance: Tensor) -> Tensor:
    return 1 - distance.abs()


def _keys(distance: Tensor) -> Tensor:
    """The cubic convolution kernel of Keys 1981, a = -0.75, within two steps of a place."""
    t, a = distance.abs(), -0.75
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return torch.where(t <= 1, near, far)
