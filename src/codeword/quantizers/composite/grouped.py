"""Product quantization: the features are split into groups, and each group is quantized separately."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.assignment import Assignment, Evaluated, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import (
    Composite,
    are_alike,
    check_alike,
    mean_losses,
)
from codeword.quantizers.composite.dropout import broadcast_to, draw_kept, without_dropped
from codeword.quantizers.composite.fused import assign_groups, plain_books
from codeword.quantizers.composite.parallel import Parallel
from codeword.torch_versions import is_exporting

__all__ = ["Grouped"]


class Grouped(Parallel):
    """Consecutive groups of features, each with a quantizer of its own, or all with the same.

    `indices` have one trailing axis more than those of a group: (..., groups). `loss` and `losses` are means over
    the groups. With one object for all groups this is what other libraries call multi-head with a shared codebook.

    Args:
        quantizers: one for each group, all different; or the same object for all groups, which then share its codes.
        features: size of a vector, if it is not the sum of the groups'; then learned projections are added.
        dim: the axis of the features.
        projected: projections even if the sizes are equal. `codeword.fit` makes them a rotation (OPQ); in a model they
            learn with it.
        dropout: the share of items (of the first axis) for which training keeps only the first n groups, n uniform from
            one to all. So the first groups learn to be a coarser quantizer: `decode(indices[..., :n])`. The other
            groups are zeros in the output, get no gradient, and have index -1. The codes of all groups learn from all
            rows.
        device: of the projections.
        dtype: of the projections.

    A call accepts the options of its groups.

    Raises:
        CodewordError: no quantizers, or ones that do not fit together.

    Source: Jegou et al. 2011, "Product quantization for nearest neighbor search"; in codecs HiFi-Codec
    (arXiv:2305.02765); the nested masks of MGVQ, Jia et al. 2025 (arXiv:2507.07997).

    Examples:
        >>> grouped = Grouped.of(2, features=8, codebook_size=16)
        >>> out = grouped(torch.randn(2, 10, 8))
        >>> out.indices.shape, out.quantized.shape
        (torch.Size([2, 10, 2]), torch.Size([2, 10, 8]))
    """

    spec_name = "gvq"
    own_options = (*Composite.own_options, "dropout", "projected")

    @classmethod
    def of(cls, groups: int, features: int, codebook_size: int, *, dim: int = -1, **options: Any) -> Grouped:
        """Equal vector quantizers, one for each group of features.

        Args:
            groups: how many; they divide `features`.
            features: size of a vector.
            codebook_size: how many codes a group has.
            dim: the axis of the features.
            options: `dropout` and `projected` as for the groups; all others as for `VectorQuantizer`.

        Examples:
            >>> Grouped.of(4, 64, 1024).spec
            'gvq4x1024'
        """
        parts, own = cls._equal_parts("groups", groups, features, codebook_size, options)
        return cls(parts, dim=dim, **own)

    @classmethod
    def component_features(cls, features: int, count: int) -> int:
        if features % count:
            raise CodewordError.of(
                f"features that {count} groups divide", repr(features), "pass another number of groups"
            )
        return features // count

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        *,
        features: int | None = None,
        dim: int = -1,
        dropout: float = 0.0,
        projected: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_alike(quantizers)
        inner = sum(child.features for child in quantizers)
        super().__init__(
            quantizers, inner, features=features, dim=dim, projected=projected, device=device, dtype=dtype
        )
        self.projected = projected
        self.call_options = quantizers[0].call_options
        self._use_dropout(dropout)

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        apart = self.shared or (self.stagewise and step.training)
        books = [] if apart else plain_books(self.components, step)
        if not books:
            return super()._assign(rows, step)
        return self._joined(assign_groups(books, self._groups(rows), step), rows, step)

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        if self.dropout and step.training:
            q, loss, losses = super()._evaluate(_all_without_dropped(assignment), rows, step)
            return torch.where(self._stays(assignment.indices), q, 0.0), loss, losses
        if not self._losses_in_one_call or self._owns_output(self.distinct[0]):
            return super()._evaluate(assignment, rows, step)
        found = assignment.components  # all losses at once
        outputs = [child._embed(own.indices) for child, own in zip(self.components, found, strict=True)]
        groups = rows.unflatten(1, (self.count, -1)).transpose(0, 1)
        # In a compiled step the gradient of the loss would have other strides than were traced.
        if torch.compiler.is_compiling() and not is_exporting():
            groups = groups.contiguous()
        loss, losses = self.distinct[0]._losses(found[0], groups, torch.stack(outputs), step)
        return self._combine(outputs), loss, losses

    @property
    def _losses_in_one_call(self) -> bool:
        """Whether the losses of all groups are one mean."""
        return not self.shared and self.pool is mean_losses and are_alike(self.distinct)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        if self.dropout and step.training:
            surrogate = super()._surrogate(_all_without_dropped(assignment), rows, q, step)
            return torch.where(self._stays(assignment.indices), surrogate, 0.0)
        first = self.distinct[0]
        if not self._losses_in_one_call or first.trained_by_output or first.random:
            return super()._surrogate(assignment, rows, q, step)
        groups, codes = (each.unflatten(1, (self.count, -1)).transpose(0, 1) for each in (rows, q))
        surrogate = first._surrogate(assignment.components[0], groups, codes, step)
        return surrogate.transpose(0, 1).reshape(rows.shape)

    # Groups that are left out -----------------------------------------------------------------------------------

    def _drop(self, assignment: Assignment) -> Assignment:
        assignment = super()._drop(assignment)
        if not self.dropout:
            return assignment
        return self._keep_first(assignment, draw_kept(assignment.step, self.dropout, 1, self.count))

    def _stays(self, indices: Tensor) -> Tensor:
        """Which features (N, D) are of groups that have an index."""
        width, columns = self.distinct[0].features, _staying(indices)[..., None].unbind(1)
        return torch.cat([column.expand(-1, width) for column in columns], 1)

    def _embed(self, indices: Tensor) -> Tensor:
        if not self.dropout:
            return super()._embed(indices)
        whole = super()._embed(torch.where(broadcast_to(_staying(indices), indices), indices, 0))
        return torch.where(self._stays(indices), whole, 0.0)

    def _truncate(self, indices: Tensor, step: Step) -> Tensor:
        missing = self.count - indices.shape[1]
        rest = indices.new_full((indices.shape[0], missing, *indices.shape[2:]), -1)
        return super()._truncate(torch.cat([indices, rest], 1) if missing else indices, step)

    @property
    def _index_counts(self) -> Collection[int]:
        return range(1, self.count + 1) if self.dropout else (self.count,)

    def _check_masked(self, masked: Tensor) -> None:
        if not self.dropout:
            super()._check_masked(masked)
        elif not torch.compiler.is_compiling() and bool((masked[..., :-1] & ~masked[..., 1:]).any()):
            raise CodewordError.of(
                "-1 for the last groups of a vector", "-1 for one before others", "mask the last ones"
            )

    # A shared component sees the groups as more rows, all of them at once --------------------------------------

    def _inputs(self, rows: Tensor) -> list[tuple[Quantizer, Tensor]]:
        """The components and their features, contiguous."""
        if self.shared:
            return [(self.distinct[0], rows.reshape(rows.shape[0] * self.count, rows.shape[1] // self.count))]
        return list(zip(self.components, self._groups(rows).unbind(0), strict=True))

    def _groups(self, rows: Tensor) -> Tensor:
        """(G, N, D)."""
        groups = rows.unflatten(1, (self.count, -1)).transpose(0, 1)
        if is_exporting():  # a program for any number of rows cannot ask whether it is 1
            return groups.clone(memory_format=torch.contiguous_format)
        return groups.contiguous()

    def _combine(self, outputs: Sequence[Tensor]) -> Tensor:
        if not self.shared:
            return torch.cat(list(outputs), 1)
        (one,) = outputs
        return one.reshape(one.shape[0] // self.count, self.count * one.shape[1])

    def _split(self, indices: Tensor) -> Sequence[Tensor]:
        return [indices.flatten(0, 1)] if self.shared else indices.unbind(1)

    def _join(self, indices: Sequence[Tensor]) -> Tensor:
        if not self.shared:
            return torch.stack(list(indices), 1)
        (one,) = indices
        return one.view(one.shape[0] // self.count, self.count, *one.shape[1:])

    def _repeats(self) -> int:
        return self.count if self.shared else 1


def _staying(indices: Tensor) -> Tensor:
    """Which groups (N, groups) have an index."""
    return (indices >= 0).flatten(2).any(2) if indices.ndim > 2 else indices >= 0


def _all_without_dropped(assignment: Assignment) -> Assignment:
    """With index 0, in rows that do not count, for groups that were left out."""
    return assignment._replace(components=tuple(without_dropped(own)[0] for own in assignment.components))
