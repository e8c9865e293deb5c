"""How much each row counts for codes that learn from sums of rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from codeword.codebooks import Codebook
from codeword.errors import CodewordError
from codeword.quantizers.hooks import Hooks

__all__ = ["RowWeights", "row_weights_of"]

# (...), or a function of rows (N, D) and their codes (N, D).
RowWeights = Tensor | Callable[[Tensor, Tensor], Tensor]


def row_weights_of(quantizer: Hooks, weights: RowWeights, shape: torch.Size) -> RowWeights:
    """The weights, those of positions (N,).

    Raises:
        CodewordError: weights of another shape than that of the positions, or codes that do not learn from sums.
    """
    books = [module for module in quantizer.modules() if isinstance(module, Codebook)]
    if not books or not all(book.update.uses_sums for book in books):
        rules = ", ".join(dict.fromkeys(type(book.update).__name__ for book in books))
        raise CodewordError.of(
            "codes that learn from sums of rows, as with EMA(), to weigh rows",
            rules or type(quantizer).__name__,
            "weigh your own loss instead",
        )
    if not isinstance(weights, Tensor):
        return weights
    if weights.shape != shape or weights.device != quantizer.device:
        raise CodewordError.of(
            f"weights of shape {tuple(shape)} on {quantizer.device}",
            f"{tuple(weights.shape)} on {weights.device}",
            "pass one for each vector",
        )
    return weights.detach().reshape(-1)
