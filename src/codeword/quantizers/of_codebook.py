"""What quantizers with one codebook have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.functional import Usage, Valid
from codeword.parts import Codebook
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_indices

__all__ = ["OfCodebook"]


class OfCodebook(Quantizer):
    """A quantizer that has the state of its `codebook`, of `codebook_size` codes."""

    codebook: Codebook
    codebook_size: int

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,)

    @property
    def ready(self) -> bool:
        return self.codebook.ready

    @property
    def device(self) -> torch.device:
        return self.codebook.codes.device

    @property
    def dtype(self) -> torch.dtype:
        return self.codebook.codes.dtype

    def init_(self, rows: Tensor, valid: Valid) -> None:
        self.codebook.init_(rows, valid)

    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Tensor:
        return self.codebook.statistics(rows, indices, valid)

    def update_(self, statistics: Tensor) -> None:
        self.codebook.update_(statistics)

    def check_indices(self, indices: Tensor) -> None:
        check_indices(indices, self.codebook_size)

    def usage(self) -> Usage:
        return self.codebook.usage()

    def reset_usage(self) -> None:
        self.codebook.reset_usage()

    def extra_repr(self) -> str:
        return f"features={self.features}, codebook_size={self.codebook_size}, dim={self.dim}"
