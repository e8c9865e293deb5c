"""The names that the pages on moving use: those of codeword, and of the modules that its parts are in."""

from __future__ import annotations

from typing import Any

import codeword
from codeword import (
    bounds,
    estimators,
    inits,
    metrics,
    penalties,
    quantizers,
    revivals,
    transforms,
    updates,
)

__all__ = ["names"]

ROOMS = (bounds, estimators, inits, metrics, penalties, quantizers, revivals, transforms, updates)


def names(home: Any) -> dict[str, Any]:
    """The names of a library; of codeword those of its parts too."""
    parts = {name: value for room in ROOMS for name, value in vars(room).items()}
    return {**(parts if home is codeword else {}), **vars(home)}
