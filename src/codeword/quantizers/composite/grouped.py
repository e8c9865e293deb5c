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
from codeword.quantizers.composite.base import check_alike, check_parts
from codeword.quantizers.composite.parallel import Parallel
from codeword.quantizers.statistics import Statistics
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["Grouped"]


class Grouped(Parallel):
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

    Examples:
        >>> from codeword import VectorQuantizer
        >>> grouped = Grouped([VectorQuantizer(4, 16) for _ in range(2)])
        >>> out = grouped(torch.randn(2, 10, 8))
        >>> out.indices.shape, out.quantized.shape
        (torch.Size([2, 10, 2]), torch.Size([2, 10, 8]))
    """

    spec_name = "gvq"

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
        check_alike(quantizers)
        super().__init__(quantizers, sum(child.features for child in quantizers), features, dim)
        self.choices = quantizers[0].choices
        self.together = not self.shared and _are_alike(self.parts)  # searched in one launch

    @torch.no_grad()
    def search(self, rows: Tensor, **choices: int) -> Tensor:
        return self._search_together(rows) if self.together else super().search(rows, **choices)

    @torch.no_grad()
    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        if not self.together or self._draws:
            return super().survey(rows, valid, **choices)
        indices = self._search_together(rows)
        return indices, self.statistics(rows, indices, valid)

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        seen = self.seen(valid, 0)
        shares = zip(self.shares(rows), self.fork(indices), self.shares(q), strict=True)
        return self.unite(
            [child.surrogate(share, index, own, seen) for (child, share), index, (_, own) in shares]
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

    def shares(self, rows: Tensor) -> list[tuple[Quantizer, Tensor]]:
        """The parts and their features, contiguous."""
        if self.shared:
            return [(self.parts[0], rows.reshape(rows.shape[0] * self.count, rows.shape[1] // self.count))]
        parts: Sequence[Tensor] = rows.chunk(self.count, 1)
        if torch.compiler.is_exporting():  # a program for any number of rows cannot ask whether it is 1
            parts = [part.clone(memory_format=torch.contiguous_format) for part in parts]
        return [(child, part.contiguous()) for child, part in zip(self.parts, parts, strict=True)]

    def unite(self, outputs: Sequence[Tensor]) -> Tensor:
        if not self.shared:
            return torch.cat(list(outputs), 1)
        (one,) = outputs
        return one.reshape(one.shape[0] // self.count, self.count * one.shape[1])

    def fork(self, indices: Tensor) -> Sequence[Tensor]:
        return [indices.flatten(0, 1)] if self.shared else indices.unbind(1)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        if not self.shared:
            return torch.stack(list(parts), 1)
        (one,) = parts
        return one.view(one.shape[0] // self.count, self.count, *one.shape[1:])

    def times(self, number: int) -> int:
        return self.count if self.shared else 1


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
