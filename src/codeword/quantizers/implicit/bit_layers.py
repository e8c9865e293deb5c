"""Bit layers: one bit after the other, each of what those before it left over."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.functional import Valid
from codeword.quantizers.implicit.bitcodes import Bitcodes

__all__ = ["BitLayers"]


class BitLayers(Bitcodes):
    """As `Bitcodes`, but each bit is picked for the rest that the vectors of the bits before it leave.

    r_1 = x, bit_b = [r_b . C[b, 1] > r_b . C[b, 0]], r_(b+1) = r_b - C[b, bit_b], q = sum_b C[b, bit_b]. In training
    each bit is drawn, and gradients are those of the relaxed bits, through the rests as well. With one bit this is
    `Bitcodes`.

    `indices` are the bits, (..., bits). `functional.regroup_bits` and `functional.to_indices` read those of
    consecutive positions as integers.

    Args:
        features: size of a vector.
        bits: how many layers.
        temperature: of the gradient, above 0; an attribute that a schedule may set.
        dim: the axis of the features.

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

    @torch.no_grad()
    def look_up(self, rows: Tensor) -> Tensor:
        return self._peel(rows, None)

    @torch.no_grad()
    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        return self._peel(rows, self._noise(self.codebook.draws(), valid))

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        off, on = self._pairs()
        noise = self._noise(self.codebook.last_draws(), valid) if self.training else None
        rest, total = rows, torch.zeros_like(rows)
        for layer, bits in enumerate(indices.to(self.dtype).unbind(1)):
            step = on[layer] - off[layer]
            difference = rest @ step if noise is None else rest @ step + noise[:, layer]
            soft = (difference / self.temperature).sigmoid()
            relaxed = (soft - soft.detach())[:, None] * step.detach()
            picked = off[layer] + bits[:, None] * step + relaxed
            rest, total = rest - picked, total + picked
        return total

    def _peel(self, rows: Tensor, noise: Tensor | None) -> Tensor:
        """The bits (N, bits) of rows, one layer after the other."""
        off, on = self._pairs()
        found = []
        for layer in range(self.bits):
            difference = rows @ on[layer] - rows @ off[layer]
            found.append(difference > 0 if noise is None else difference + noise[:, layer] > 0)
            rows = rows - torch.where(found[-1][:, None], on[layer], off[layer])
        return torch.stack(found, 1).long()
