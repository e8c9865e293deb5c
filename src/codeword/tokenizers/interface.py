"""The interface of a tokenizer for encoding and decoding."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["TokenizerInterface"]


class TokenizerInterface(nn.Module):
    """Batches of one kind of data to grids of indices and back."""

    kind: ClassVar[str]
    """Of data, as token files call it."""
    unit: ClassVar[str]
    """What the input is made of, in one word of several: pixels, samples, vectors."""
    grid: ClassVar[tuple[str, ...]]
    """The names of the axes of the grid of positions, which follow the channels of the input: () for vectors."""
    stride: int = 1
    """How many of the input's numbers along each of these axes are one position."""

    @property
    @abstractmethod
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes there are for each index of a position: one, or one for each stage, group or bit."""

    @property
    @abstractmethod
    def trailing_shape(self) -> tuple[int, ...]:
        """The axes of the indices behind those of the grid: () for one index a position."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Indices (batch, *grid, *trailing_shape), int64. Changes no state."""

    @abstractmethod
    def decode(self, indices: Tensor) -> Tensor:
        """Reconstructions (batch, ...) of indices (batch, *grid, *trailing_shape)."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions of a batch, and its indices, in one pass."""

    @property
    def bits_per_position(self) -> float:
        """The bits that the indices of one position can tell: the sum of log2(codes)."""
        return sum(math.log2(size) for size in self.codebook_sizes)

    @property
    def least(self) -> int:
        """How many of the input's numbers there must be along each axis."""
        return self.stride

    @property
    def facts(self) -> dict[str, int]:
        """What token files tell people about their grids."""
        return {"stride": self.stride} if self.grid else {}
