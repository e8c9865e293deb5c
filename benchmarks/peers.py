"""Layers of other libraries, as they come, behind the interface of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from codeword import Quantized

__all__ = ["PEERS"]


class VectorQuantizePytorch(nn.Module):
    """A layer of vector-quantize-pytorch for rows (1, N, D)."""

    def __init__(self, layer: nn.Module, features: int, dim: int) -> None:
        super().__init__()
        self.layer, self.features, self.dim = layer, features, dim

    def forward(self, x: Tensor) -> Quantized:
        rows = x.movedim(self.dim, -1)
        quantized, indices, loss = self.layer(rows.reshape(1, -1, self.features))
        whole = quantized.view(rows.shape).movedim(-1, self.dim)
        return Quantized(whole, indices.view(rows.shape[:-1]), torch.as_tensor(loss).sum(), {})


def build(name: str, features: int, codes: int, *, dim: int = -1, **options: Any) -> VectorQuantizePytorch:
    import vector_quantize_pytorch

    layer = getattr(vector_quantize_pytorch, name)(dim=features, codebook_size=codes, **options)
    return VectorQuantizePytorch(layer, features, dim)


PEERS: dict[str, Callable[..., nn.Module]] = {
    "vector-quantize-pytorch": partial(build, "VectorQuantize"),
    "vector-quantize-pytorch-kmeans": partial(build, "VectorQuantize", kmeans_init=True),
    "vector-quantize-pytorch-factorised": partial(
        build, "VectorQuantize", codebook_dim=8, use_cosine_sim=True, kmeans_init=True
    ),
    "vector-quantize-pytorch-revived": partial(
        build,
        "VectorQuantize",
        codebook_dim=8,
        use_cosine_sim=True,
        kmeans_init=True,
        threshold_ema_dead_code=2,
    ),
    "vector-quantize-pytorch-simvq": partial(build, "SimVQ"),
}
