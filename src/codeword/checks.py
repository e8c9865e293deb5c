"""Checks of the numbers that parts are built from."""

from __future__ import annotations

import math

from codeword import distributed
from codeword.errors import CodewordError

__all__ = ["at_least", "between", "check_unsharded"]


def at_least(what: str, value: float, lowest: float) -> None:
    """Raise unless value >= lowest (a NaN is not)."""
    if not value >= lowest:
        raise CodewordError.of(f"{what} of at least {lowest}", repr(value), f"pass {lowest} or more")


def between(what: str, value: float, low: float, high: float) -> None:
    """Raise unless low < value < high."""
    if not low < value < high:
        if high == math.inf:
            raise CodewordError.of(f"{what} above {low}", repr(value), "pass a larger number")
        raise CodewordError.of(
            f"{what} between {low} and {high}", repr(value), "pass a number strictly between them"
        )


def check_unsharded(name: str, value: object) -> None:
    """Raise for a shard of fully_shard: what forward writes to it would be lost."""
    if distributed.is_sharded(value):
        raise CodewordError.of(
            "a codebook that is whole on every rank",
            f"a piece of its parameter {name}",
            "pass ignored_params=set(codeword.models.codebook_parameters(model)) to every fully_shard",
        )
