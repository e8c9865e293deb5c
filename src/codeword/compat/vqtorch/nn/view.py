"""The tables of several codebooks as one `nn.Embedding`, as in the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from codeword.codebooks import Codebook
from codeword.compat.embedding import EmbeddingView

__all__ = ["TableView"]


class TableView(EmbeddingView):
    """The codes of several codebooks, stacked in one table.

    It is live: it can be read and written, and has the gradient.

    Args:
        books: whose codes they are.

    Examples:
        >>> from codeword.compat.vqtorch.nn import GroupVectorQuant
        >>> vq = GroupVectorQuant(8, 32, groups=2, share=False)
        >>> vq.codebook.weight.data.fill_(3.0).shape, int(vq.quantizer.components[1].codebook.codes[0, 0])
        (torch.Size([32, 4]), 3)
    """

    def __init__(self, books: Sequence[Codebook]) -> None:
        self._books = list(books)
        codes: Callable[[], Tensor] = lambda: self._books[0].codes  # noqa: E731
        super().__init__(codes if len(self._books) == 1 else self._joined)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The codes, for an optimiser."""
        return (book.codes for book in self._books if isinstance(book.codes, nn.Parameter))

    def _joined(self) -> Tensor:
        parts = [book.codes for book in self._books]
        size = parts[0].numel()
        first = parts[0].data_ptr()
        apart = any(p.data_ptr() != first + n * size * p.element_size() for n, p in enumerate(parts))
        if apart or parts[0].untyped_storage().data_ptr() != parts[-1].untyped_storage().data_ptr():
            table = torch.cat([part.data for part in parts])
            for part, own in zip(parts, table.chunk(len(parts)), strict=True):
                part.data = own
        else:
            table = parts[0].data.as_strided(
                (len(parts) * len(parts[0]), parts[0].shape[1]), (parts[0].shape[1], 1)
            )
        if all(part.grad is not None for part in parts):
            table.grad = torch.cat([part.grad for part in parts if part.grad is not None])
        return table
