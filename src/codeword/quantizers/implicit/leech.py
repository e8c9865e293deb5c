"""Spherical quantization with the Leech lattice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.functional.leech import LEECH_SIZE, leech_vectors, nearest_leech
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.implicit.base import Implicit

__all__ = ["SphericalLeech"]


class SphericalLeech(Implicit):
    """Each vector is projected on the unit sphere and becomes the nearest shortest vector of the Leech lattice.

    There are 196,560 codes of 24 numbers (17.58 bits). The angle between two codes is at least 60 degrees, the largest
    possible for so many points on this sphere. A frozen codebook with the cosine metric would give the same result;
    here codes are computed, and the search uses the Golay code. There is no loss: the sphere bounds the error, and
    nothing can collapse. The gradient is straight-through for the choice, and exact for the projection.

    Args:
        features: size of a vector; if it is not 24, learned projections are added.
        dim: the axis of the features.
        device: of parameters and buffers.
        dtype: of the projections.

    Source: Zhao et al. 2025 (arXiv:2512.14697).

    Examples:
        >>> leech = SphericalLeech(24)
        >>> out = leech(torch.randn(2, 10, 24))
        >>> out.indices.shape, leech.codebook_size
        (torch.Size([2, 10]), 196560)
        >>> products = leech.decode(out.indices[0]) @ leech.decode(out.indices[1]).T
        >>> set((4 * products).round(decimals=4).flatten().tolist()) <= {-4, -2, -1, 0, 1, 2, 4}
        True
    """

    spec_name = "leech"

    def __init__(
        self,
        features: int,
        *,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, (LEECH_SIZE,), width=24, dim=dim, device=device, dtype=dtype)

    def _digits(self, rows: Tensor) -> Tensor:
        return nearest_leech(rows)[:, None]

    def _vectors(self, digits: Tensor) -> Tensor:
        return leech_vectors(digits.squeeze(1), self.dtype)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        return F.normalize(rows, dim=-1)
