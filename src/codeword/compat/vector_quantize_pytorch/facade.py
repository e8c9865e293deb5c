"""What all layers of this facade share: the quantizer that does the work, the keys, the call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable
from codeword.checkpoints.importers.vector_quantize_pytorch_keys import table_of
from codeword.codebooks import Codebook
from codeword.compat.old_codes import forward_of_old_codes
from codeword.compat.state import Facade
from codeword.errors import CodewordError
from codeword.quantizers import Quantized, Quantizer

__all__ = ["Layer", "lengths_to_mask"]


class Layer(Facade):
    """A layer of vector-quantize-pytorch: its names and shapes around a quantizer of codeword.

    Attributes:
        quantizer: codeword's; all that is learned is in it.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

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
        """The loss in training; zeros in eval, as theirs."""
        return loss if self.training else torch.zeros_like(loss)

    def _forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """That of the quantizer, of the codes before the update."""
        with forward_of_old_codes(self.quantizer):
            return self.quantizer(x, mask)

    @contextmanager
    def _frozen(self, frozen: bool | None) -> Iterator[None]:
        """Hold all codebooks for one call; None: as they are."""
        books = (
            [module for module in self.modules() if isinstance(module, Codebook)]
            if frozen is not None
            else []
        )
        before = [book.frozen for book in books]
        try:
            for book in books:
                book.frozen = bool(frozen)
            yield
        finally:
            for book, was in zip(books, before, strict=True):
                book.frozen = was


def lengths_to_mask(mask: Tensor | None, lens: Tensor | None, length: int) -> Tensor | None:
    """The mask, or that of the lengths of each item."""
    if lens is None:
        return mask
    if mask is not None:
        raise CodewordError.of("mask or lens", "both", "pass one of them")
    return torch.arange(length, dtype=torch.int64, device=lens.device) < lens[:, None]
