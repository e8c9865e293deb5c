"""The base of quantizers with one codebook."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.codebooks import Codebook
from codeword.codebooks.learner import Seen
from codeword.codebooks.rng import Rng
from codeword.functional import Usage
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_indices
from codeword.updates import Gradient

__all__ = ["SingleCodebook"]


class SingleCodebook(Quantizer):
    """A quantizer with one `codebook` of `codebook_size` codes, and a random key."""

    codebook: Codebook
    codebook_size: int
    rng: Rng

    def _build_learned_by_output(
        self, codebook_size: int, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        """A random key, and normal codes that only the gradient of the output moves."""
        self.rng = Rng(device)
        update = Gradient(init=None, revival=None)
        self.codebook = Codebook(codebook_size, self.features, update, device=device, dtype=dtype)

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

    def _init(self, rows: Tensor, step: Step) -> None:
        self.codebook.init_(rows, step.valid, step.key)

    def _seen(self, assignment: Assignment) -> list[Seen]:
        indices, rows, step = assignment[:3]
        return [Seen(self.codebook, rows, indices, step.valid, step.repeats)]

    def _embed(self, indices: Tensor) -> Tensor:
        return self.codebook.embed(indices)

    def _check_indices(self, indices: Tensor) -> None:
        check_indices(indices, self.codebook_size)

    def usage(self) -> Usage:
        return self.codebook.usage()

    def reset_usage(self) -> None:
        self.codebook.reset_usage()
