"""Layers of other libraries, as they come, behind the interface of ours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codeword import Quantized

__all__ = ["PEERS", "VectorQuantizePytorch"]


class VectorQuantizePytorch(nn.Module):
    """`VectorQuantize` of vector-quantize-pytorch with nothing set but its sizes."""

    def __init__(self, features: int, codes: int, *, dim: int = -1) -> None:
        super().__init__()
        from vector_quantize_pytorch import VectorQuantize

        self.features, self.dim = features, dim
        self.layer = VectorQuantize(dim=features, codebook_size=codes)

    def forward(self, x: Tensor) -> Quantized:
        rows = x.movedim(self.dim, -1)
        quantized, indices, loss = self.layer(rows.reshape(1, -1, self.features))
        whole = quantized.view(rows.shape).movedim(-1, self.dim)
        return Quantized(whole, indices.view(rows.shape[:-1]), torch.as_tensor(loss).sum(), {})


PEERS = {"vector-quantize-pytorch": VectorQuantizePytorch}
