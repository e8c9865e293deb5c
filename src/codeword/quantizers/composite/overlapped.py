"""Overlapped quantization: several quantizers of the same vector, whose outputs add up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import sum_of
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import check_alike
from codeword.quantizers.composite.parallel import Parallel

__all__ = ["Overlapped"]


class Overlapped(Parallel):
    """Every component quantizes the whole vector, and the outputs are summed: q = q_1(x) + q_2(x) + ...

    No component sees the residual of the others, so this is for components that learn what to add from your loss
    through the output: `MemoryCodes`, `Bitcodes`. `indices` have one trailing axis more than those of a component:
    (..., components). `loss` and `losses` are means over the components.

    Args:
        quantizers: all different, of the same features.
        features: size of a vector, if it is not that of the components; then learned projections are added.
        dim: the axis of the features.
        device: of the projections.
        dtype: of the projections.

    A call accepts the options of its components.

    Raises:
        CodewordError: no quantizers, a repeated object, or components that each learn to approximate x: their sum would
            be a multiple of x.

    Source: `MQ1d` of quantizer-pytorch.

    Examples:
        >>> from codeword.quantizers import MemoryCodes
        >>> overlapped = Overlapped([MemoryCodes(8, 16) for _ in range(3)]).eval()
        >>> out = overlapped(torch.randn(2, 10, 8))
        >>> out.indices.shape
        torch.Size([2, 10, 3])
    """

    spec_name = "ovq"

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        *,
        features: int | None = None,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_alike(quantizers)
        for child in quantizers:
            if not child.trained_by_output or child.no_decode:
                raise CodewordError.of(
                    "overlapped components that learn through the output, such as memory16 or bits8",
                    child.spec,
                    "use Residual for residuals, or Grouped for groups of features",
                )
        super().__init__(quantizers, features=features, dim=dim, device=device, dtype=dtype)
        self.call_options = quantizers[0].call_options
        if self.shared:
            raise CodewordError.of(
                "overlapped components that are all different",
                "one for all",
                "build one for each output to add",
            )

    def _inputs(self, rows: Tensor) -> Sequence[tuple[Quantizer, Tensor]]:
        return [(child, rows) for child in self.components]

    def _combine(self, outputs: Sequence[Tensor]) -> Tensor:
        return sum_of(outputs)  # in order, so that forward, encode and decode round equally

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        return q

    def _owns_output(self, child: Quantizer) -> bool:
        return True  # the surrogate of a sum is not the sum of its terms' surrogates
