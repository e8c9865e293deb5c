"""Overlapped quantization: several quantizers of the same vector, whose outputs add up."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import check_alike, check_parts
from codeword.quantizers.composite.parallel import Parallel

__all__ = ["Overlapped"]


class Overlapped(Parallel):
    """Every part quantizes the whole vector, all at once, and the outputs are summed: q = q_1(x) + q_2(x) + ...

    No part sees what the others leave over, so this is for parts that learn what to add from your loss through the
    output: `MemoryCodes`, `Bitcodes`. `indices` have one trailing axis more than those of a part: (..., parts).
    `loss` and `losses` are means over the parts.

    Args:
        quantizers: all different, of the same features.
        features: size of a vector, where it is not that of the parts: learned projections lead in and out.
        dim: the axis of the features.

    The choices at each call are those of the parts.

    Raises:
        CodewordError: no quantizers, one and the same object repeated, or parts that learn to be near x on their
            own: each would, and their sum would be as many times too long.

    Source: `MQ1d` of quantizer-pytorch.

    Examples:
        >>> import torch
        >>> from codeword import MemoryCodes
        >>> overlapped = Overlapped([MemoryCodes(8, 16) for _ in range(3)]).eval()
        >>> out = overlapped(torch.randn(2, 10, 8))
        >>> out.indices.shape
        torch.Size([2, 10, 3])
    """

    spec_name = "ovq"

    def __init__(
        self, quantizers: Sequence[Quantizer], *, features: int | None = None, dim: int = -1
    ) -> None:
        check_parts(quantizers)
        check_alike(quantizers)
        for child in quantizers:
            if not child.trained_by_output or child.no_decode:
                raise CodewordError.of(
                    "overlapped parts that learn through the output, such as memory16 or bits8",
                    child.spec,
                    "quantize what is left over with Residual, or each part of the features with Grouped",
                )
        super().__init__(quantizers, quantizers[0].features, features, dim)
        self.choices = quantizers[0].choices
        if self.shared:
            raise CodewordError.of(
                "overlapped parts that are all different", "one for all", "build as many as are to be added"
            )

    def shares(self, rows: Tensor) -> Sequence[tuple[Quantizer, Tensor]]:
        return [(child, rows) for child in self.parts]

    def unite(self, outputs: Sequence[Tensor]) -> Tensor:
        total, *others = outputs
        for output in others:  # in order, so that every way here rounds alike
            total = total + output
        return total
