"""Bit layers: one bit after the other, each for the residual of those before it."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.implicit.bitcodes import Bitcodes

__all__ = ["BitLayers"]


class BitLayers(Bitcodes):
    """As `Bitcodes`, but each bit is chosen for the residual of the bits before it.

    r_1 = x, bit_b = [r_b . C[b, 1] > r_b . C[b, 0]], r_(b+1) = r_b - C[b, bit_b], q = sum_b C[b, bit_b]. In training
    each bit is drawn, and gradients are those of the relaxed bits, through the residuals as well. With one bit this is
    `Bitcodes`.

    `indices` are the bits, (..., bits). `functional.regroup_bits` and `functional.to_indices` read those of
    consecutive positions as integers.

    Args:
        features: size of a vector.
        bits: how many layers.
        temperature: of the gradient, above 0; an attribute that a schedule may set.
        dim: the axis of the features.
        device: of parameters and buffers.
        dtype: of parameters; the codebook has float32 instead of a half.

    Raises:
        CodewordError: bits below 1 or a temperature not above 0.

    Source: `QBit1d` of quantizer-pytorch; Jang et al. 2016 (arXiv:1611.01144) for the gradient.

    Examples:
        >>> layers = BitLayers(features=8, bits=4).eval()
        >>> out = layers(torch.randn(1, 6, 8))
        >>> out.indices.shape
        torch.Size([1, 6, 4])
        >>> bool((layers.from_bits(out.indices) == out.quantized).all())
        True
    """

    spec_name = "bitlayers"

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        off, on = self._pairs()
        noise = self._noise(step) if step.training else None
        found, rest = [], rows
        for layer in range(self.bits):
            difference = rest @ on[layer] - rest @ off[layer]
            found.append(difference > 0 if noise is None else difference + noise[:, layer] > 0)
            rest = rest - torch.where(found[-1][:, None], on[layer], off[layer])
        return Assignment(torch.stack(found, 1).long(), rows, step)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        off, on = self._pairs()
        noise = self._noise(step) if step.training else None
        rest, total = rows, torch.zeros_like(rows)
        for layer, bits in enumerate(assignment.indices.to(self.dtype).unbind(1)):
            change = on[layer] - off[layer]
            difference = rest @ change if noise is None else rest @ change + noise[:, layer]
            soft = (difference / self.temperature).sigmoid()
            relaxed = (soft - soft.detach())[:, None] * change.detach()
            picked = off[layer] + bits[:, None] * change + relaxed
            rest, total = rest - picked, total + picked
        return total
