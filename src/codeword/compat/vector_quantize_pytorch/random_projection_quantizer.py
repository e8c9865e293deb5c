"""`RandomProjectionQuantizer`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable, renamed
from codeword.compat.state import Facade
from codeword.compat.vector_quantize_pytorch.vector_quantize_pytorch import VectorQuantize
from codeword.quantizers import index_loss

__all__ = ["RandomProjectionQuantizer"]


class RandomProjectionQuantizer(Facade):
    """Labels: the index of the random code with the smallest angle to a random projection of the normalised vector.

    Args:
        dim: features of a vector.
        codebook_size: how many codes.
        codebook_dim: features of a code.
        num_codebooks: how many labels a vector gets.
        norm: whether vectors are normalised first.
        options: those of `VectorQuantize`.

    Examples:
        >>> quantizer = RandomProjectionQuantizer(dim=16, num_codebooks=4, codebook_dim=8, codebook_size=32)
        >>> quantizer(torch.randn(1, 10, 16)).shape
        torch.Size([1, 10, 4])
    """

    rand_projs: Tensor

    def __init__(
        self,
        *,
        dim: int,
        codebook_size: int,
        codebook_dim: int,
        num_codebooks: int = 1,
        norm: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        shape, place = (num_codebooks, dim, codebook_dim), torch.get_default_device()
        projections = torch.empty(shape, dtype=torch.float32, device=place)
        self.register_buffer("rand_projs", nn.init.xavier_normal_(projections))
        self.num_codebooks = num_codebooks
        self.norm = norm
        heads: dict[str, Any] = (
            {"heads": num_codebooks, "separate_codebook_per_head": True} if num_codebooks > 1 else {}
        )
        width = codebook_dim * num_codebooks
        self.vq = VectorQuantize(width, codebook_size, width, use_cosine_sim=True, **heads, **options).eval()

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        return KeyTable([renamed("rand_projs", "rand_projs")]) + self.vq.key_table().under("vq.", "vq.")

    def train(self, mode: bool = True) -> RandomProjectionQuantizer:
        """Nothing is learned, so the quantizer stays in eval mode."""
        super().train(mode)
        self.vq.eval()
        return self

    @torch.no_grad()
    def forward(self, x: Tensor, indices: Tensor | None = None) -> Tensor:
        """The labels of x (batch, n, dim): (batch, n), or (batch, n, num_codebooks).

        With `indices`, such labels, the mean cross-entropy of these instead, over the cosines with the codes.
        """
        if self.norm:
            x = F.layer_norm(x, x.shape[-1:])
        kind = torch.promote_types(x.dtype, self.rand_projs.dtype)
        rows = torch.einsum("...d,hde->...he", x.to(kind), self.rand_projs.to(kind)).flatten(-2)
        if indices is not None:
            return index_loss(self.vq.quantizer, rows, indices)
        return self.vq.quantizer.encode(rows)
