"""The result of every quantizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.utils import _pytree

__all__ = ["Quantized"]


@dataclass(frozen=True)
class Quantized:
    """The result of every quantizer's forward. `quantized, indices, loss = vq(x)` unpacks it.

    Attributes:
        quantized: like the input: same shape, dtype and device; zeros where masked, NaN where the input was not
            finite.
        indices: int64, the input's shape without the feature axis (and one trailing axis per composition); -1
            where masked.
        loss: scalar; add it to your own loss.
        losses: the terms of `loss` by name, unweighted scalars.

    It is a node of torch's pytrees, so it passes through torch.compile, torch.export and data-parallel wrappers.
    """

    quantized: Tensor
    indices: Tensor
    loss: Tensor
    losses: dict[str, Tensor]

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.quantized, self.indices, self.loss))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: int) -> Tensor:
        return (self.quantized, self.indices, self.loss)[place]


_pytree.register_pytree_node(
    Quantized,
    lambda out: ([out.quantized, out.indices, out.loss, out.losses], None),
    lambda leaves, _: Quantized(*leaves),
    serialized_type_name="codeword.Quantized",  # without it an exported program that returns it could not be saved
)
