"""Maps of features cut into tiles, for quantizers that take whole maps of one size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

__all__ = ["joined_tiles", "tiles_of"]


def tiles_of(features: Tensor, side: int) -> Tensor:
    """Tiles (batch x grid, channels, side, ...) of features (batch, channels, *sides), row by row.

    Examples:
        >>> import torch
        >>> maps = torch.arange(8.0).view(1, 1, 2, 4)
        >>> tiles_of(maps, 2).flatten(1)
        tensor([[0., 1., 4., 5.],
                [2., 3., 6., 7.]])
        >>> joined_tiles(tiles_of(maps, 2), 1, (1, 2)).equal(maps)
        True
    """
    axes = features.dim() - 2
    for axis in reversed(range(axes)):
        features = features.unflatten(2 + axis, (-1, side))
    places, within = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    return features.permute(0, *places, 1, *within).flatten(0, axes)


def joined_tiles(tiles: Tensor, batch: int, grid: Sequence[int]) -> Tensor:
    """The features that tiles were cut from, `grid` tiles of each item."""
    axes = len(grid)
    split = tiles.view(batch, *grid, *tiles.shape[1:])
    order = [axis for place in range(axes) for axis in (1 + place, 2 + axes + place)]
    features = split.permute(0, 1 + axes, *order)
    for axis in range(axes):
        features = features.flatten(2 + axis, 3 + axis)
    return features
