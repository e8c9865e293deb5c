"""How rows of a width are multiplied, and the bound of the error of a score."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CHUNK", "LONGEST", "Mode", "mode_of"]

CHUNK = 64  # features at once of rows that are too long to be kept
LONGEST = 2**14  # features: the bound is proven up to here
_STEP = 2.0**-23


class Mode(NamedTuple):
    """How rows of D features are multiplied.

    Attributes:
        width: of the codes as they are kept for it.
        products: how many tile products a tile of scores takes.
        packed: whether three products are one, over [low, high, high] and [high, low, high].
        chunked: whether rows come in chunks of features.
        raw: whether rows and codes are halves, multiplied as they are.
        error: a score is within `error` |x| |c| of the exact one, before its offset is added.
    """

    width: int
    products: int
    packed: bool
    chunked: bool
    raw: bool
    error: float

    @property
    def shape_class(self) -> tuple[str, int]:
        """Where the table has its tile: how it is multiplied, and the width of the rows that are kept, or 0."""
        kind = "halves" if self.raw else "packed" if self.packed else "parts"
        return kind, 0 if self.chunked else self.width


def mode_of(features: int, *, raw: bool) -> Mode:
    """The mode with the fewest products: halves as they are, float32 in two parts of bfloat16.

    The error is that of parts that are dropped, 2^-15 (1 + 1 / 100), and that of sums of the tensor cores, 1.25 n
    2^-23 for n products in a row, both proven in the docstring of the package.
    """
    whole, packed = _power(features), _power(3 * features)
    dropped = 0.0 if raw else 1.01 * 2.0**-15
    if raw and whole <= 512:
        return Mode(whole, 1, False, False, True, 1.25 * whole * _STEP)
    if not raw and packed < 3 * whole and packed <= 128:
        return Mode(packed, 1, True, False, False, dropped + 1.29 * packed * _STEP)
    if not raw and whole <= 256:
        return Mode(whole, 3, False, False, False, dropped + 1.29 * whole * _STEP)
    chunks = -(-features // CHUNK)
    error = dropped + (1.29 * CHUNK + chunks + 1) * _STEP
    return Mode(chunks * CHUNK, 1 if raw else 3, False, True, raw, error)


def _power(number: int) -> int:
    """The power of two from 16, the least for a tile product, that is not less."""
    return max(16, 1 << (number - 1).bit_length())
