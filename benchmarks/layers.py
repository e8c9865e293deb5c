"""The layers that are compared, each as two functions: a training step (forward, backward, update) and eval."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from codeword import Quantizer, Residual, VectorQuantizer

__all__ = ["LAYERS", "RESIDUAL", "Layer"]

STAGES = 8


class Layer(NamedTuple):
    """A module and how to call it on rows (N, D): the output and the loss."""

    module: nn.Module
    call: Callable[[Tensor], tuple[Tensor, Tensor]]

    def train_step(self, rows: Tensor) -> None:
        self.module.train()
        x = rows.detach().requires_grad_()
        out, loss = self.call(x)
        (out.square().mean() + loss).backward()

    def evaluate(self, rows: Tensor) -> None:
        self.module.eval()
        with torch.no_grad():
            self.call(rows)


def _codeword(module: Quantizer) -> Layer:
    def call(x: Tensor) -> tuple[Tensor, Tensor]:
        out = module(x)
        return out.quantized, out.loss

    return Layer(module, call)


def _vector_quantize_pytorch(kind: str, features: int, codebook_size: int, **options: int) -> Layer:
    import vector_quantize_pytorch  # here, since a GPU may be where not all peers are

    module = getattr(vector_quantize_pytorch, kind)(dim=features, codebook_size=codebook_size, **options)

    def call(x: Tensor) -> tuple[Tensor, Tensor]:
        out, _, loss = module(x[None])
        return out[0], loss.sum()

    return Layer(module, call)


def _quantizer_pytorch(features: int, codebook_size: int) -> Layer:
    from quantizer_pytorch.quantizer import BVQ

    module = BVQ(features, num_heads=1, codebook_size=codebook_size)

    def call(x: Tensor) -> tuple[Tensor, Tensor]:
        out, info = module(x[None])
        return out[0], info["loss"]

    return Layer(module, call)


LAYERS: dict[str, Callable[[int, int], Layer]] = {
    "codeword": lambda features, size: _codeword(VectorQuantizer(features, size)),
    "vector-quantize-pytorch": lambda features, size: _vector_quantize_pytorch(
        "VectorQuantize", features, size
    ),
    "quantizer-pytorch": _quantizer_pytorch,
}
RESIDUAL: dict[str, Callable[[int, int], Layer]] = {  # eight stages
    "codeword": lambda features, size: _codeword(
        Residual([VectorQuantizer(features, size) for _ in range(STAGES)])
    ),
    "vector-quantize-pytorch": lambda features, size: _vector_quantize_pytorch(
        "ResidualVQ", features, size, num_quantizers=STAGES
    ),
}
