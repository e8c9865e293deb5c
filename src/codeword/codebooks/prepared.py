"""Prepared codes for the search, cached while the codes do not change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from codeword.kernels.nearest.dispatch import packs

if TYPE_CHECKING:
    from codeword.codebooks.codebook import Codebook

__all__ = ["PreparedCodes"]


LARGE = 1 << 18  # numbers, of which a copy costs a CPU more than a call for each codebook


class PreparedCodes:
    """The result of `Metric.prepare` for one codebook, and the codes that it belongs to.

    It is computed again when codes, or counts that the metric needs, were written to (tensor versions tell this),
    replaced, moved or cast. It is not cached while a program is traced, nor for codes that are a parameter, because
    optimisers may write to these without changing the version.
    """

    def __init__(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Forget it."""
        self._codes: Tensor | None = None
        self._version = -1
        self._value: Any = None

    def of(self, book: Codebook) -> Any:
        """The prepared codes of the codebook that this belongs to."""
        codes = book.codes
        if not _may_keep(book):
            return _prepared([book], book.searched().detach())
        if not self._fits(book):
            self._keep(book, _prepared([book], codes.detach()))
        return self._value

    @staticmethod
    def prepare_together(books: Sequence[Codebook]) -> None:
        """Prepare equal codebooks at once, where their codes were written to."""
        metric = books[0].metric
        if len(books) == 1 or not metric.prepares_together or not all(map(_may_keep, books)):
            return
        if packs(books[0].codes) and len(books) * books[0].codes.numel() > LARGE:
            return  # each by itself, when it is searched: without a copy of all
        if all(book._prepared._fits(book) for book in books):
            return
        prepared = _prepared(books, torch.stack([book.codes.detach() for book in books]))
        for number, book in enumerate(books):
            own = type(prepared)(*(part[number] for part in prepared))
            book._prepared._keep(book, own)

    def _fits(self, book: Codebook) -> bool:
        return self._codes is book.codes and self._version == _version(book)

    def _keep(self, book: Codebook, value: Any) -> None:
        self._codes, self._version, self._value = book.codes, _version(book), value

    def __deepcopy__(self, memo: dict[int, Any]) -> PreparedCodes:
        return PreparedCodes()

    def __reduce__(self) -> tuple[type[PreparedCodes], tuple[()]]:
        return PreparedCodes, ()


def _prepared(books: Sequence[Codebook], codes: Tensor) -> Any:
    metric = books[0].metric
    prepared = metric.prepare(codes)
    if not metric.uses_counts:
        return prepared
    sizes = [book.cluster_size for book in books]
    return metric.weigh(prepared, sizes[0] if codes.ndim == 2 else torch.stack(sizes))


def _version(book: Codebook) -> int:
    """The tensor versions that the search depends on."""
    return book.codes._version + (book.cluster_size._version if book.metric.uses_counts else 0)


def _may_keep(book: Codebook) -> bool:
    traced = torch.compiler.is_compiling() or book.codes.is_inference()
    return not (traced or book.transform is not None or isinstance(book.codes, nn.Parameter))
