"""Product quantization: the features are split into groups, and each group is quantized by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.parts import Cosine, Dot, Euclidean
from codeword.parts.axes import Estimator
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import Composite, check_parts, mean_losses, repeated
from codeword.quantizers.statistics import Kept, Statistics
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["Grouped"]


class Grouped(Composite):
    """Consecutive groups of features, each with a quantizer of its own, or all with the same.

    `indices` have one trailing axis more than those of a group: (..., groups). `loss` and `losses` are means over
    the groups. With one object for all groups this is what other libraries call multi-head with a shared codebook.

    Args:
        quantizers: one for each group, all different; or the same object for all groups, which then share its codes
            and are searched together.
        features: size of a vector, where it is not the sum of the groups': learned projections lead in and out.
        dim: the axis of the features.

    The choices at each call are those of the groups.

    Raises:
        CodewordError: no quantizers, or ones that do not fit together.

    Source: Jegou et al. 2011, "Product quantization for nearest neighbor search"; in codecs HiFi-Codec
    (arXiv:2305.02765).

    Example:
        >>> from codeword import VectorQuantizer
        >>> grouped = Grouped([VectorQuantizer(4, 16) for _ in range(2)])
        >>> out = grouped(torch.randn(2, 10, 8))
        >>> out.indices.shape, out.quantized.shape
        (torch.Size([2, 10, 2]), torch.Size([2, 10, 8]))
    """

    spec_name = "gvq"
    pool = staticmethod(mean_losses)  # of the parts' losses

    @classmethod
    def part_features(cls, features: int, count: int) -> int:
        if features % count:
            raise CodewordError.of(
                f"features that {count} groups divide", repr(features), "pass another number of groups"
            )
        return features // count

    def __init__(
        self, quantizers: Sequence[Quantizer], *, features: int | None = None, dim: int = -1
    ) -> None:
        check_parts(quantizers)
        super().__init__(quantizers, sum(child.features for child in quantizers), features, dim)
        first = self.parts[0]
        self.choices = first.choices
        self.together = not self.shared and _are_alike(self.parts)  # searched in one launch
        if any((part.features, part.choices) != (first.features, first.choices) for part in self.parts):
            raise CodewordError.of(
                "groups of one width and kind",
                ", ".join(part.spec for part in self.parts),
                "build them one way",
            )

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid) -> None:
        for child, part in self._groups(rows):
            if not child.ready:
                child.init_(child.narrow(part), self._seen(valid))

    @torch.no_grad()
    def search(self, rows: Tensor, **choices: int) -> Tensor:
        if self.together:
            return self._search_together(rows)
        return self._join([child.search(child.narrow(part), **choices) for child, part in self._groups(rows)])

    @torch.no_grad()
    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        seen = self._seen(valid)
        return self._join([child.select(child.narrow(part), seen) for child, part in self._groups(rows)])

    @torch.no_grad()
    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        if self.together and not self._draws:
            indices = self._search_together(rows)
            return indices, self.statistics(rows, indices, valid)
        seen = self._seen(valid)
        found = [child.survey(child.narrow(part), seen, **choices) for child, part in self._groups(rows)]
        return self._join([indices for indices, _ in found]), tuple(statistics for _, statistics in found)

    @torch.no_grad()
    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Statistics:
        seen = self._seen(valid)
        return tuple(
            child.statistics(child.narrow(part), index, seen)
            for (child, part), index in zip(self._groups(rows), self._fork(indices), strict=True)
        )

    def learn_(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Kept]:
        if not self.stagewise:
            return super().learn_(rows, valid, **choices)
        seen = self._seen(valid)
        found = [child.learn_(child.narrow(part), seen, **choices) for child, part in self._groups(rows)]
        return self._join([indices for indices, _ in found]), tuple(kept for _, kept in found)

    def keep(self, indices: Tensor) -> Kept:
        return tuple(
            child.keep(index) for child, index in zip(self.distinct, self._fork(indices), strict=True)
        )

    def drop(self, indices: Tensor, items: Tensor) -> Tensor:
        if self.shared:
            items = items[:, None].expand(-1, self.count).reshape(-1)
        return self._join(
            [
                child.drop(index, items)
                for child, index in zip(self.distinct, self._fork(indices), strict=True)
            ]
        )

    def gather(self, indices: Tensor) -> Tensor:
        return self._concatenate(
            [
                child.widen(child.gather(index))
                for child, index in zip(self.distinct, self._fork(indices), strict=True)
            ]
        )

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        seen = self._seen(valid)
        outputs, losses = [], []
        before = kept if isinstance(kept, tuple) else (None,) * self.count
        for (child, part), index, held in zip(self._groups(rows), self._fork(indices), before, strict=False):
            out, loss, named = child.settle(child.narrow(part), index, seen, held)
            outputs.append(child.widen(out))
            losses.append((loss, named))
        return self._concatenate(outputs), *self.pool(losses, len(losses))

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        seen = self._seen(valid)
        return self._concatenate(
            [
                child.surrogate(part, index, own, seen)
                for (child, part), index, (_, own) in zip(
                    self._groups(rows), self._fork(indices), self._groups(q), strict=True
                )
            ]
        )

    def cut(self, indices: Tensor, **choices: int) -> Tensor:
        return self._join(
            [
                child.cut(index, **choices)
                for child, index in zip(self.distinct, self._fork(indices), strict=True)
            ]
        )

    def check_indices(self, indices: Tensor) -> None:
        super().check_indices(indices)
        axis = indices.ndim - len(self.index_shape)
        masked = (indices.flatten(axis + 1) < 0).all(-1) if len(self.index_shape) > 1 else indices < 0
        if not torch.compiler.is_compiling() and bool((masked.any(-1) != masked.all(-1)).any()):
            raise CodewordError.of(
                "-1 for all groups of a vector or for none", "-1 for some", "mask whole vectors"
            )

    def _search_together(self, rows: Tensor) -> Tensor:
        books = [part for part in self.parts if isinstance(part, VectorQuantizer)]
        groups = rows.unflatten(1, (self.count, -1)).transpose(0, 1).contiguous()
        codes = torch.stack([part.codebook.searched() for part in books])
        return books[0].metric.look_up(groups, codes).T.contiguous()

    @property
    def _draws(self) -> bool:
        """Whether training draws indices instead of taking the nearest."""
        return any(
            type(part.estimator).select is not Estimator.select
            for part in self.parts
            if isinstance(part, VectorQuantizer)
        )

    # A shared part sees the groups as more rows, all of them at once -------------------------------------------

    def _groups(self, rows: Tensor) -> list[tuple[Quantizer, Tensor]]:
        """The parts and their rows, contiguous."""
        if self.shared:
            return [(self.parts[0], rows.reshape(rows.shape[0] * self.count, rows.shape[1] // self.count))]
        parts: Sequence[Tensor] = rows.chunk(self.count, 1)
        if torch.compiler.is_exporting():  # a program for any number of rows cannot ask whether it is 1
            parts = [part.clone(memory_format=torch.contiguous_format) for part in parts]
        return [(child, part.contiguous()) for child, part in zip(self.parts, parts, strict=True)]

    def _fork(self, indices: Tensor) -> Sequence[Tensor]:
        """The indices (N, groups, ...) of each part."""
        return [indices.flatten(0, 1)] if self.shared else indices.unbind(1)

    def _join(self, indices: Sequence[Tensor]) -> Tensor:
        """The inverse of `_fork`."""
        if not self.shared:
            return torch.stack(list(indices), 1)
        (one,) = indices
        return one.view(one.shape[0] // self.count, self.count, *one.shape[1:])

    def _concatenate(self, rows: Sequence[Tensor]) -> Tensor:
        """The inverse of `_groups`."""
        if not self.shared:
            return torch.cat(list(rows), 1)
        (one,) = rows
        return one.reshape(one.shape[0] // self.count, self.count * one.shape[1])

    def _seen(self, valid: Valid) -> Valid:
        return repeated(valid, self.count) if self.shared else valid


def _are_alike(parts: Sequence[Quantizer]) -> bool:
    """Whether they are codebooks of one size and one metric, that a single search can take as groups."""
    kinds = {
        (part.codebook_size, part.metric, part.dtype)
        if isinstance(part, VectorQuantizer)
        and part.project_in is None
        and isinstance(part.metric, Euclidean | Cosine | Dot)
        else None
        for part in parts
    }
    return len(kinds) == 1 and None not in kinds
