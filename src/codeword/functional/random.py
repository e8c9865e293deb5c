"""Random draws that are a function of (key, purpose, number), in integer tensor arithmetic.

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

from codeword.functional.valid import known_number
from codeword.kernels import draws

__all__ = ["Key", "Purpose"]

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio: spreads neighbouring numbers apart
_STEP = 6364136223846793005  # a multiplier with a full period modulo 2^62
_STATE = 2**62 - 1


class Purpose(IntEnum):
    """What a draw is for. Two purposes in one step never share numbers."""

    NOISE = 1
    SAMPLE = 2
    INIT = 3
    REVIVAL = 4
    SELECT = 5
    GUMBEL = 6
    DIRECTION = 7
    SEGMENT = 8
    DROPOUT = 9
    MERGE = 10


class Key(NamedTuple):
    """All the draws of one step.

    Attributes:
        state: int64 scalar tensor, odd, 0 < state < 2^62.
        tag: what has been folded in.

    Examples:
        >>> key = Key(torch.tensor(7))
        >>> bool((key.uniform(Purpose.NOISE, 5) == key.uniform(Purpose.NOISE, 5)).all())
        True
        >>> bool((key.uniform(Purpose.NOISE, 5) == key.fold_in(1).uniform(Purpose.NOISE, 5)).any())
        False
    """

    state: Tensor
    tag: int = 0

    @classmethod
    def of(cls, seed: int, step: int = 0, *, device: torch.device | str | None = None) -> Key:
        """The key of a step of a seed, both Python numbers, where there is no module that keeps one.

        Examples:
            >>> bool((Key.of(7).uniform(Purpose.NOISE, 5) == Key.of(8).uniform(Purpose.NOISE, 5)).any())
            False
        """
        high = _mix_number(
            (seed ^ (seed >> 32) ^ _mix_number((step + _GOLDEN * (step >> 32)) & _MASK)) & _MASK
        )
        low = _mix_number((high + seed + _GOLDEN) & _MASK)
        return cls(torch.tensor(((high << 30) ^ low) & _STATE | 1, dtype=torch.int64, device=device))

    def fold_in(self, number: int) -> Key:
        """An independent sub-key for one of several users of this key. It costs no operator."""
        return Key(self.state, _mix_number((self.tag + _GOLDEN * (number + 1)) & _MASK))

    def following(self) -> Tensor:
        """The state of the next step: state <- a state mod 2^62, a multiplicative congruential generator."""
        return (self.state * _STEP) & _STATE

    def uniform_at(self, purpose: Purpose, positions: Tensor, count: int) -> Tensor:
        """`count` float32 numbers, 0 < u < 1, for each position: (N,) int64 to (N, count).

        What a position draws depends on nothing else, so rows may be masked, cut in blocks or spread over ranks.
        """
        each = self._bits(purpose, positions & _MASK)[:, None]
        numbers = torch.arange(count, dtype=torch.int64, device=positions.device)
        return _as_uniform(_mix((_mix(numbers ^ each) + each) & _MASK))

    def normal_at(self, purpose: Purpose, positions: Tensor, count: int) -> Tensor:
        """`count` standard normal float32 numbers for each position: (N,) int64 to (N, count)."""
        return _box_muller(*self.uniform_at(purpose, positions, 2 * count).chunk(2, -1))

    def uniform(self, purpose: Purpose, *shape: int) -> Tensor:
        """float32 numbers, 0 < u < 1, of a shape."""
        numbers = torch.arange(math.prod(shape), dtype=torch.int64, device=self.state.device)
        return _as_uniform(self._bits(purpose, numbers)).view(shape)

    def normal(self, purpose: Purpose, *shape: int) -> Tensor:
        """Standard normal float32 numbers (Box-Muller), of a shape."""
        return _box_muller(*self.uniform(purpose, 2, *shape))

    def strata(self, purpose: Purpose, total: Tensor, count: int, sets: int = 1) -> tuple[Tensor, Tensor]:
        """Draw `count` of the positions 0 <= p < total, `sets` times: one from each of `count` equal stretches.

        Stretch i begins at e_i = floor(i total / count), and draw i is e_i + floor(f_i (e_(i+1) - e_i)), with f_i the
        fraction of u + i (sqrt(5) - 1) / 2 and one u for the key: all positions of a stretch are as likely, and
        neighbouring stretches share no pattern. All draws of a set are different while there are enough
        (count <= total). When there are too few, the first `total` draws are all the positions in order, and the rest
        repeat them.

        Args:
            purpose: what the draw is for.
            total: int64 scalar tensor, below 2^31; with 0 all positions are 0, and none is drawn.
            count: how many positions a set has, below 2^31.
            sets: how many sets are drawn, each with fractions of its own.

        Returns:
            positions (sets, count) int64, and (count,) bool: False where a draw repeats, or there is nothing to draw.
        """
        salt = self._salt(purpose)
        if draws.serves(self.state):
            return draws.strata(self.state, total, salt, count, sets)
        state, known = known_number(self.state), known_number(total)
        if state is None or known is None:
            return draws.plain(self.state, total, salt, count, sets)
        return draws.known(state, known, salt, count, sets)

    def _bits(self, purpose: Purpose, numbers: Tensor) -> Tensor:
        """The hashed integer of each number, 0 <= number < 2^32: uniform over 0 <= h < 2^32."""
        return _mix((_mix(numbers ^ self._word(purpose)) + (self.state & _MASK)) & _MASK)

    def _word(self, purpose: Purpose) -> Tensor:
        """The upper bits of the state, which are the random ones, with tag and purpose: 0 <= word < 2^32."""
        return (self.state >> 30) ^ self._salt(purpose)

    def _salt(self, purpose: Purpose) -> int:
        return _mix_number((self.tag ^ (purpose * _GOLDEN)) & _MASK)


def _as_uniform(bits: Tensor) -> Tensor:
    return ((bits >> 9).to(torch.float32) + 0.5) * 2.0**-23


def _box_muller(radius: Tensor, angle: Tensor) -> Tensor:
    return (-2 * radius.log()).sqrt() * (2 * math.pi * angle).cos()


def _mix(h: Tensor) -> Tensor:
    """Shuffle 32-bit numbers held in int64."""
    h = h ^ (h >> 16)
    h = (h * 0x21F0AAAD) & _MASK
    h = h ^ (h >> 15)
    h = (h * 0x735A2D97) & _MASK
    return h ^ (h >> 15)


def _mix_number(h: int) -> int:
    """As `_mix`, for a Python number."""
    h ^= h >> 16
    h = (h * 0x21F0AAAD) & _MASK
    h ^= h >> 15
    h = (h * 0x735A2D97) & _MASK
    return h ^ (h >> 15)
