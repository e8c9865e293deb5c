"""What every quantizer returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.utils import _pytree

__all__ = ["Quantized"]


class Quantized(NamedTuple):
    """The result of a quantizer's forward: always these four, whatever the options.

    Attributes:
        quantized: like the input: same shape, dtype and device; zeros where masked, NaN where the input was not
            finite.
        indices: int64, the input's shape without the feature axis (and one trailing axis per composition); -1
            where masked.
        loss: scalar, the one thing to add to your own loss.
        losses: named unweighted scalars that `loss` is made of.
    """

    quantized: Tensor
    indices: Tensor
    loss: Tensor
    losses: dict[str, Tensor]


# Without a name of its own an exported program that returns it could not be saved.
_pytree._register_namedtuple(Quantized, serialized_type_name="codeword.Quantized")
