"""Quantizers made of quantizers that do not look at each other: each sees its share of every vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import Composite, mean_losses
from codeword.quantizers.statistics import Kept, Statistics

__all__ = ["Parallel"]


class Parallel(Composite):
    """Every verb is that of the parts, on their shares of the rows."""

    pool = staticmethod(mean_losses)  # of the parts' losses

    @abstractmethod
    def shares(self, rows: Tensor) -> Sequence[tuple[Quantizer, Tensor]]:
        """The parts and their rows."""

    @abstractmethod
    def unite(self, outputs: Sequence[Tensor]) -> Tensor:
        """The rows of the whole, from those of the parts."""

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid) -> None:
        for child, share in self.shares(rows):
            if not child.ready:
                child.init_(child.narrow(share), self.seen(valid, 0))

    @torch.no_grad()
    def search(self, rows: Tensor, **choices: int) -> Tensor:
        return self.join([child.search(child.narrow(share), **choices) for child, share in self.shares(rows)])

    @torch.no_grad()
    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        seen = self.seen(valid, 0)
        return self.join([child.select(child.narrow(share), seen) for child, share in self.shares(rows)])

    @torch.no_grad()
    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        seen = self.seen(valid, 0)
        found = [child.survey(child.narrow(share), seen, **choices) for child, share in self.shares(rows)]
        return self.join([indices for indices, _ in found]), tuple(statistics for _, statistics in found)

    @torch.no_grad()
    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Statistics:
        seen = self.seen(valid, 0)
        return tuple(
            child.statistics(child.narrow(share), index, seen)
            for (child, share), index in zip(self.shares(rows), self.fork(indices), strict=True)
        )

    def learn_(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Kept]:
        if not self.stagewise:
            return super().learn_(rows, valid, **choices)
        seen = self.seen(valid, 0)
        found = [child.learn_(child.narrow(share), seen, **choices) for child, share in self.shares(rows)]
        return self.join([indices for indices, _ in found]), tuple(kept for _, kept in found)

    def gather(self, indices: Tensor) -> Tensor:
        return self.unite([child.widen(child.gather(index)) for child, index in self.each(indices)])

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        seen = self.seen(valid, 0)
        outputs, losses = [], []
        before = kept if isinstance(kept, tuple) else (None,) * self.count
        for (child, share), index, held in zip(self.shares(rows), self.fork(indices), before, strict=False):
            out, loss, named = child.settle(child.narrow(share), index, seen, held)
            outputs.append(child.widen(out))
            losses.append((loss, named))
        return self.unite(outputs), *self.pool(losses, len(losses))

    def cut(self, indices: Tensor, **choices: int) -> Tensor:
        return self.join([child.cut(index, **choices) for child, index in self.each(indices)])

    def check_indices(self, indices: Tensor) -> None:
        super().check_indices(indices)
        axis = indices.ndim - len(self.index_shape)
        masked = (indices.flatten(axis + 1) < 0).all(-1) if len(self.index_shape) > 1 else indices < 0
        if not torch.compiler.is_compiling() and bool((masked.any(-1) != masked.all(-1)).any()):
            raise CodewordError.of(
                "-1 for all parts of a vector or for none", "-1 for some", "mask whole vectors"
            )
