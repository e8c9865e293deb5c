"""A codebook as an `nn.Embedding`, as in the older libraries."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["EmbeddingView"]


class EmbeddingView:
    """Stands in for an `nn.Embedding` in a facade: the names of the embedding, with codes that are stored elsewhere.

    Args:
        codes: returns the live codes (K, D).

    Examples:
        >>> codes = torch.nn.Parameter(torch.zeros(4, 2))
        >>> view = EmbeddingView(lambda: codes)
        >>> view.weight.data.fill_(1.0)[0], view(torch.tensor([3])).shape
        (tensor([1., 1.]), torch.Size([1, 2]))
    """

    def __init__(self, codes: Callable[[], Tensor]) -> None:
        self._codes = codes

    @property
    def weight(self) -> Tensor:
        """The live codes: a parameter where they learn by gradient."""
        return self._codes()

    @weight.setter
    def weight(self, value: Tensor) -> None:
        with torch.no_grad():
            self._codes().copy_(value)

    @property
    def num_embeddings(self) -> int:
        """K."""
        return self.weight.shape[0]

    @property
    def embedding_dim(self) -> int:
        """D."""
        return self.weight.shape[1]

    def __call__(self, indices: Tensor) -> Tensor:
        """The codes of indices, with gradient to them."""
        return functional.embedding(indices, self.weight)

    def __repr__(self) -> str:
        return f"EmbeddingView({self.num_embeddings}, {self.embedding_dim})"
