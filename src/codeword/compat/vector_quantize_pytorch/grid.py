"""Parallel codebooks of rounded numbers, which `FSQ` and `LFQ` share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.compat.vector_quantize_pytorch.entry import Heads, drop_bias
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.errors import CodewordError
from codeword.quantizers import Quantized
from codeword.quantizers.implicit.base import Implicit

__all__ = ["GridLayer", "rotate"]


class GridLayer(Layer):
    """Parallel codebooks. Images and videos, with four axes or more, have their features on axis 1.

    Args:
        parts: one for each codebook.
        dim: features of a vector.
        keep_num_codebooks_dim: whether indices have an axis for them; None: where there are several.
        channel_first: whether features are on axis 1; None: with four axes or more.
        bias: whether projections have one.
    """

    def __init__(
        self,
        parts: Sequence[Implicit],
        dim: int,
        keep_num_codebooks_dim: bool | None,
        channel_first: bool | None,
        bias: bool = True,
    ) -> None:
        count, width = len(parts), sum(part.features for part in parts)
        super().__init__(parts[0] if count == 1 else Heads(parts, features=None if width == dim else dim))
        self.dim = dim
        self.num_codebooks = count
        self.keep_num_codebooks_dim = count > 1 if keep_num_codebooks_dim is None else keep_num_codebooks_dim
        if count > 1 and not self.keep_num_codebooks_dim:
            raise CodewordError.of(
                "an axis for several codebooks", "keep_num_codebooks_dim=False", "leave it out"
            )
        self._channel_first = channel_first
        self.codebook_dim = parts[0].code_features
        self.effective_codebook_dim = self.codebook_dim * count
        if not bias:
            drop_bias(self.quantizer.project_in, self.quantizer.project_out)

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices; -1 gives zeros."""
        lone = self.keep_num_codebooks_dim and self.num_codebooks == 1
        out = self.quantizer.decode(indices[..., 0] if lone else indices)
        return out.movedim(-1, 1) if self._first(indices.ndim - self.keep_num_codebooks_dim + 1) else out

    def _parts(self) -> list[Implicit]:
        return [part for part in self.quantizer.modules() if isinstance(part, Implicit)]

    def _run(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        first = self._first(x.ndim)
        out = self.quantizer(x.movedim(1, -1) if first else x, mask)
        lone = self.keep_num_codebooks_dim and self.num_codebooks == 1
        quantized = out.quantized.movedim(-1, 1) if first else out.quantized
        return Quantized(quantized, out.indices[..., None] if lone else out.indices, out.loss, out.losses)

    def _first(self, axes: int) -> bool:
        return axes >= 4 if self._channel_first is None else self._channel_first


def rotate(part: Implicit) -> None:
    """Give a quantizer that looks for one a random rotation of its numbers: `orthogonal_rot`."""
    width = part.code_features
    part.register_buffer("orthogonal_rot", _rotation(width).to(part.device))


def _rotation(width: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.float32, device="cpu")).Q
