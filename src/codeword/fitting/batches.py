"""Vectors from anywhere, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["Batches"]

_ROWS = 2**16  # of a matrix at once


class Batches:
    """Vectors as batches (N, D), read anew at each iteration, seen through a function of each batch."""

    def __init__(self, vectors: Any, view: Callable[[Tensor], Tensor] = lambda rows: rows) -> None:
        if isinstance(vectors, Iterator) or not (hasattr(vectors, "shape") or isinstance(vectors, Iterable)):
            raise CodewordError.of(
                "a matrix, or batches that can be read again",
                type(vectors).__name__,
                "pass a tensor, an array, a list of tensors or a data loader",
            )
        self.vectors = vectors
        self.view = view

    def __iter__(self) -> Iterator[Tensor]:
        for rows in self._parts():
            if rows.ndim != 2 or not rows.is_floating_point():
                raise CodewordError.of(
                    "floating-point vectors (N, features)",
                    f"{rows.dtype} of shape {tuple(rows.shape)}",
                    "convert and reshape them",
                )
            yield self.view(rows)

    def _parts(self) -> Iterator[Tensor]:
        if not hasattr(self.vectors, "shape"):
            yield from self.vectors
            return
        for start in range(0, self.vectors.shape[0], _ROWS):
            part = self.vectors[start : start + _ROWS]
            yield part.detach() if isinstance(part, Tensor) else torch.tensor(part, device="cpu")

    def seen(self, view: Callable[[Tensor], Tensor]) -> Batches:
        """The same vectors through one more function; those that are in memory anyway are computed once."""
        if isinstance(self.vectors, Tensor):
            return Batches(torch.cat([view(rows) for rows in self]))
        return Batches(self.vectors, lambda rows: view(self.view(rows)))

    def read(self) -> Iterable[Tensor]:
        """The batches, in a list if they are in memory anyway."""
        return list(self) if isinstance(self.vectors, Tensor) else self

    def first(self) -> Tensor:
        """The first batch."""
        for rows in self:
            return rows
        raise CodewordError.of("vectors", "none", "pass at least as many as there are codes")
