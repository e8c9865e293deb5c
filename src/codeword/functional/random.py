"""Random draws that are a function of (seed, step, stream, number), in integer tensor arithmetic.

There is no generator state: a copy, a resumed run, a compiled graph and every rank draw the same. The hash is the
32-bit finaliser of C. Wellons' "hash prospector" (multipliers 0x21f0aaad and 0x735a2d97), computed in int64,
where products of a 32-bit number and these 31-bit multipliers do not overflow.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Draws", "Stream", "new_seed"]

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio: spreads neighbouring streams apart


class Stream(IntEnum):
    """What a draw is for. Two uses in one step never share numbers."""

    CODES = 0
    NOISE = 1
    SAMPLE = 2
    START = 3
    REVIVAL = 4
    SELECT = 5
    GUMBEL = 6
    DIRECTION = 7
    SEGMENT = 8
    STAGES = 9
    MERGE = 10


def new_seed() -> Tensor:
    """A seed from torch's own generator, so that `torch.manual_seed` decides: int64 scalar, 0 <= seed < 2^62."""
    return torch.randint(2**62, (), dtype=torch.int64)


class Draws(NamedTuple):
    """All the draws of one step.

    Attributes:
        seed: int64 scalar tensor.
        step: int64 scalar tensor on the same device.

    Examples:
        >>> draws = Draws(torch.tensor(7), torch.tensor(0))
        >>> bool((draws.uniform(Stream.NOISE, 5) == draws.uniform(Stream.NOISE, 5)).all())
        True
    """

    seed: Tensor
    step: Tensor

    def bits(self, stream: Stream, count: int) -> Tensor:
        """`count` hashed integers, int64, uniform over 0 <= h < 2^32."""
        return self._bits_at(stream, torch.arange(count, device=self.seed.device))

    def _bits_at(self, stream: Stream, number: Tensor) -> Tensor:
        """The hashed integer of each number, 0 <= number < 2^32."""
        key = _mix(self.seed & _MASK)
        for word in (self.seed >> 32, self.step & _MASK, self.step >> 32, torch.full_like(self.seed, stream)):
            key = _mix((key + (word & _MASK) + _GOLDEN) & _MASK)
        return _keyed(number, key)

    def uniform_at(self, stream: Stream, positions: Tensor, count: int) -> Tensor:
        """`count` float32 numbers, 0 < u < 1, for each position: (N,) int64 to (N, count).

        What a position draws depends on nothing else, so rows may be masked, cut in blocks or spread over ranks.
        """
        key = self._bits_at(stream, positions & _MASK)[:, None]
        return _as_uniform(_keyed(torch.arange(count, device=positions.device), key))

    def normal_at(self, stream: Stream, positions: Tensor, count: int) -> Tensor:
        """`count` standard normal float32 numbers for each position: (N,) int64 to (N, count)."""
        return _box_muller(*self.uniform_at(stream, positions, 2 * count).chunk(2, -1))

    def uniform(self, stream: Stream, count: int) -> Tensor:
        """`count` float32 numbers, 0 < u < 1."""
        return _as_uniform(self.bits(stream, count))

    def normal(self, stream: Stream, *shape: int) -> Tensor:
        """Standard normal float32 numbers (Box-Muller)."""
        count = math.prod(shape)
        return _box_muller(*self.uniform(stream, 2 * count).view(2, *shape))

    def strata(self, stream: Stream, total: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Draw `count` of the positions 0 <= p < total: one from each of `count` equal stretches.

        All are different while there are enough (count <= total), and every position is about as likely as any
        other. When there are too few, the first `total` draws are all the positions in order, and the rest repeat
        them.

        Args:
            total: int64 scalar tensor, below 2^31; 0 is taken as 1.

        Returns:
            positions (count,) int64, and (count,) bool: False where a draw repeats.
        """
        total = total.clamp_min(1)
        stretches = total.clamp_max(count)
        number = torch.arange(count, device=total.device)
        first = number * total // stretches
        width = (number + 1) * total // stretches - first
        positions = first + ((self.bits(stream, count) * width) >> 32)
        return positions % total, number < stretches


def _keyed(number: Tensor, key: Tensor) -> Tensor:
    return _mix((_mix(number ^ key) + key) & _MASK)


def _as_uniform(bits: Tensor) -> Tensor:
    return ((bits >> 9).float() + 0.5) * 2.0**-23


def _box_muller(radius: Tensor, angle: Tensor) -> Tensor:
    return (-2 * radius.log()).sqrt() * (2 * math.pi * angle).cos()


def _mix(h: Tensor) -> Tensor:
    """Shuffle 32-bit numbers held in int64."""
    h = h ^ (h >> 16)
    h = (h * 0x21F0AAAD) & _MASK
    h = h ^ (h >> 15)
    h = (h * 0x735A2D97) & _MASK
    return h ^ (h >> 15)
