"""Augmentation of colours."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["shuffle_colours"]

COLOURS = 2  # separates these draws from those of `Crops`, which have 0 and 1


def shuffle_colours(images: Tensor, seed: int, step: int) -> Tensor:
    """Swap red, green and blue at random in about half of a batch. The same step gives the same swaps.

    Args:
        images: (batch, 3, height, width).
        seed, step: determine the draw.

    Examples:
        >>> images = torch.arange(3.0).reshape(1, 3, 1, 1).expand(4, 3, 1, 1)
        >>> shuffle_colours(images, seed=0, step=1)[:, :, 0, 0].sum(1)
        tensor([3., 3., 3., 3.])
    """
    generator = np.random.default_rng([seed, COLOURS, step])
    orders = np.tile(np.arange(3), (len(images), 1))
    chosen = generator.random(len(images)) < 0.5
    orders[chosen] = generator.permuted(orders[chosen], axis=1)
    return images[torch.arange(len(images))[:, None], torch.from_numpy(orders)]
