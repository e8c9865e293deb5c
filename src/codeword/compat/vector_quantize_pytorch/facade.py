"""What all layers of this facade share: the quantizer that does the work, the keys, the call."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable
from codeword.checkpoints.importers.vector_quantize_pytorch_keys import table_of
from codeword.compat.state import Facade
from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.errors import CodewordError
from codeword.quantizers import Quantized, Quantizer

__all__ = ["Layer", "lengths_to_mask"]

_AS_BUILT = Settings()


class Layer(Facade):
    """A layer of vector-quantize-pytorch: its names and shapes around a quantizer of codeword.

    Attributes:
        quantizer: codeword's quantizer, which holds all learned state.
    """

    zeros_where_masked = True  # False: masked rows are returned unchanged

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def _around(self, quantizer: Any) -> None:
        """Initialise as the layer around a quantizer."""
        Layer.__init__(self, quantizer)

    @classmethod
    def around(cls, quantizer: Quantizer) -> Self:
        """A layer around an existing quantizer, such as a stage of a stack."""
        layer = cls.__new__(cls)
        layer._around(quantizer)
        return layer.train(quantizer.training)

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        return table_of(self.quantizer).under("", "quantizer.")

    @property
    def project_in(self) -> nn.Module:
        return self.quantizer.project_in or nn.Identity()

    @property
    def project_out(self) -> nn.Module:
        return self.quantizer.project_out or nn.Identity()

    @property
    def has_projections(self) -> bool:
        return self.quantizer.project_in is not None

    def _loss(self, loss: Tensor) -> Tensor:
        """The loss in training; zeros in eval, as in the original."""
        return loss if self.training else torch.zeros_like(loss)

    def _forward(
        self, x: Tensor, mask: Tensor | None = None, settings: Settings = _AS_BUILT, **options: Any
    ) -> Quantized:
        """That of the quantizer, of the codes before the update."""
        with settings.on(self.quantizer):
            out = self.quantizer(x, mask, **options)
        if mask is None or self.zeros_where_masked:
            return out
        quantized = torch.where(mask.unsqueeze(self.quantizer.dim), out.quantized, x)
        return Quantized(quantized, out.indices, out.loss, out.losses)


def lengths_to_mask(mask: Tensor | None, lens: Tensor | None, length: int) -> Tensor | None:
    """The mask, or that of the lengths of each item."""
    if lens is None:
        return mask
    if mask is not None:
        raise CodewordError.of("mask or lens", "both", "pass one of them")
    return torch.arange(length, dtype=torch.int64, device=lens.device) < lens[:, None]
