"""Convolutions that the scales of a multiscale quantizer share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from codeword.checks import at_least
from codeword.errors import CodewordError

__all__ = ["Convolutions"]


@dataclass(frozen=True)
class Convolutions:
    """After upsampling, each scale of `Multiscale` adds a convolution of its map:

        g_k = (1 - share) up(q_k) + share (W_i * up(q_k) + b_i)

    W_i is a convolution of 3 places along each axis. The scales share `count` of them: with K scales at the positions
    k / (K - 1), k = 0 ... K - 1, each takes the nearest of `count` positions that are spread evenly from 0 to 1. Each
    starts as the identity, so that nothing is changed at the beginning (in the original: at random).

    Args:
        count: how many convolutions; 1: all scales have the same one.
        share: of the convolution, above 0, at most 1.

    Raises:
        CodewordError: a count below 1, or a share that is not above 0 and at most 1.

    Source: phi of VAR, Tian et al. 2024 (arXiv:2404.02905), partially shared; count and share are those of its models.

    Examples:
        >>> from codeword import from_spec
        >>> spec = "multiscale3x16,sizes=((1,1),(2,2),(4,4)),convolutions=convolutions(count=2)"
        >>> var = from_spec(spec, features=8, dim=1)
        >>> out = var(torch.randn(3, 8, 4, 4))
        >>> list(out.losses), var.blends[0].weight.shape
        (['commitment', 'convolutions'], torch.Size([8, 8, 3, 3]))
    """

    count: int = 4
    share: float = 0.5

    def __post_init__(self) -> None:
        at_least("count of Convolutions", self.count, 1)
        if not 0 < self.share <= 1:
            raise CodewordError.of(
                "a share of Convolutions above 0, at most 1",
                repr(self.share),
                "leave convolutions out to have none",
            )

    def of(self, number: int, scales: int) -> int:
        """Which convolution a scale has. The original's arithmetic, step by step: it decides which way a tie falls."""
        if self.count == 1:
            return 0
        edge = 1 / (3 if self.count == 4 else 2) / self.count
        step = ((1 - edge) - edge) / (self.count - 1)
        places = [*(index * step + edge for index in range(self.count - 1)), 1 - edge]
        distances = [abs(place - number / max(1, scales - 1)) for place in places]
        return distances.index(min(distances))

    def build(
        self,
        features: int,
        axes: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> nn.ModuleList:
        """The convolutions of maps with this many axes."""
        return nn.ModuleList(
            _Blend(features, axes, self.share, device=device, dtype=dtype) for _ in range(self.count)
        )


class _Blend(nn.Module):
    """(1 - share) x + share (W * x + b) of maps (N, *size, D), zeros around them.

    A product of each place with its neighbours side by side: unlike a convolution of torch, it has the same result with
    and without a gradient, and the precision of other products.
    """

    def __init__(
        self,
        features: int,
        axes: int,
        share: float,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.share = share
        self.weight = nn.Parameter(torch.empty(features, features, *[3] * axes, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(features, device=device, dtype=dtype))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The identity."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        middle = 3 ** (self.weight.ndim - 2) // 2
        self.weight.view(*self.bias.shape * 2, -1)[..., middle].diagonal().fill_(1)

    def forward(self, maps: Tensor) -> Tensor:
        size = maps.shape[1:-1]
        padded = nn.functional.pad(maps, (0, 0, *[1, 1] * len(size)))
        neighbours = []
        for offset in product(range(3), repeat=len(size)):
            moved = padded
            for axis, (start, length) in enumerate(zip(offset, size, strict=True), start=1):
                moved = moved.narrow(axis, start, length)
            neighbours.append(moved)
        weight = self.weight.flatten(2).transpose(1, 2).flatten(1).to(maps.dtype)  # (D, places x D)
        changed = nn.functional.linear(torch.cat(neighbours, -1), weight, self.bias.to(maps.dtype))
        return maps.lerp(changed, self.share)
