"""Random codes, independent of the data."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Init
from codeword.checks import at_least
from codeword.functional import Key, Purpose, Valid

__all__ = ["Normal", "Uniform"]


@dataclass(frozen=True)
class Normal(Init):
    """Independent normal numbers of mean 0. For a codebook with a transform, or as a baseline.

    Args:
        std: their standard deviation.
    """

    std: float = 1.0

    def __post_init__(self) -> None:
        at_least("std of Normal", self.std, 0)

    def __call__(self, rows: Tensor, valid: Valid, codebook_size: int, key: Key) -> Tensor:
        return self.std * key.normal(Purpose.INIT, codebook_size, rows.shape[1]).to(rows.dtype)


@dataclass(frozen=True)
class Uniform(Init):
    """Independent uniform numbers, -bound < c < bound: with the default, all codes start close to the origin.

    Args:
        bound: None: 1 / K, as in taming-transformers and torchtools. The codebook collapses on data that is not
            centred, unless revival moves its codes.
    """

    bound: float | None = None

    def __post_init__(self) -> None:
        if self.bound is not None:
            at_least("bound of Uniform", self.bound, 0)

    def __call__(self, rows: Tensor, valid: Valid, codebook_size: int, key: Key) -> Tensor:
        features = rows.shape[1]
        unit = 2 * key.uniform(Purpose.INIT, codebook_size, features) - 1
        bound = 1 / codebook_size if self.bound is None else self.bound
        return bound * unit.to(rows.dtype)
