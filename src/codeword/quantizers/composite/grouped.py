"""Product quantization: the features are split into groups, and each group is quantized by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_size
from codeword.quantizers.composite.base import (
    Composite,
    are_alike,
    check_alike,
    check_components,
    mean_losses,
)
from codeword.quantizers.composite.parallel import Parallel
from codeword.quantizers.vector import VectorQuantizer
from codeword.torch_versions import is_exporting

__all__ = ["Grouped"]


class Grouped(Parallel):
    """Consecutive groups of features, each with a quantizer of its own, or all with the same.

    `indices` have one trailing axis more than those of a group: (..., groups). `loss` and `losses` are means over
    the groups. With one object for all groups this is what other libraries call multi-head with a shared codebook.

    Args:
        quantizers: one for each group, all different; or the same object for all groups, which then share its codes.
        features: size of a vector, where it is not the sum of the groups': learned projections lead in and out.
        dim: the axis of the features.
        projected: projections though the widths are equal. `codeword.fit` makes them a rotation (OPQ); in a model they
            learn with it.
        device: of the projections.
        dtype: of the projections.

    A call may give what its groups take.

    Raises:
        CodewordError: no quantizers, or ones that do not fit together.

    Source: Jegou et al. 2011, "Product quantization for nearest neighbor search"; in codecs HiFi-Codec
    (arXiv:2305.02765).

    Examples:
        >>> grouped = Grouped.of(2, features=8, codebook_size=16)
        >>> out = grouped(torch.randn(2, 10, 8))
        >>> out.indices.shape, out.quantized.shape
        (torch.Size([2, 10, 2]), torch.Size([2, 10, 8]))
    """

    spec_name = "gvq"
    own_options = (*Composite.own_options, "projected")

    @classmethod
    def of(cls, groups: int, features: int, codebook_size: int, *, dim: int = -1, **options: Any) -> Grouped:
        """Equal vector quantizers, one for each group of features.

        Args:
            groups: how many; they divide `features`.
            features: size of a vector.
            codebook_size: how many codes a group has.
            dim: the axis of the features.
            options: as for `VectorQuantizer`.

        Examples:
            >>> Grouped.of(4, 64, 1024).spec
            'gvq4x1024'
        """
        check_size("groups", groups)
        width = cls.component_features(features, groups)
        return cls([VectorQuantizer(width, codebook_size, **options) for _ in range(groups)], dim=dim)

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
        projected: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_components(quantizers)
        check_alike(quantizers)
        inner = sum(child.features for child in quantizers)
        super().__init__(
            quantizers, inner, features=features, dim=dim, projected=projected, device=device, dtype=dtype
        )
        self.projected = projected
        self.call_options = quantizers[0].call_options

    def options(self) -> dict[str, Any]:
        return {"projected": self.projected}

    def _evaluate(
        self, assignment: Assignment, rows: Tensor, step: Step
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        if not self._together or self._owns_output(self.distinct[0]):
            return super()._evaluate(assignment, rows, step)
        found = assignment.components  # all losses at once
        outputs = [child._embed(own.indices) for child, own in zip(self.components, found, strict=True)]
        groups = rows.unflatten(1, (self.count, -1)).transpose(0, 1)
        if torch.compiler.is_compiling():  # else the gradient of the loss has other strides than were traced
            groups = groups.contiguous()
        losses = self.distinct[0]._losses(found[0], groups, torch.stack(outputs), step)
        return self._unite(outputs), *losses

    @property
    def _together(self) -> bool:
        """Whether the losses of all groups are one mean."""
        return not self.shared and self.pool is mean_losses and are_alike(self.distinct)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        first = self.distinct[0]
        if not self._together or first.trained_by_output or first.random:
            return super()._surrogate(assignment, rows, q, step)
        groups, codes = (each.unflatten(1, (self.count, -1)).transpose(0, 1) for each in (rows, q))
        surrogate = first._surrogate(assignment.components[0], groups, codes, step)
        return surrogate.transpose(0, 1).reshape(rows.shape)

    # A shared component sees the groups as more rows, all of them at once --------------------------------------

    def _shares(self, rows: Tensor) -> list[tuple[Quantizer, Tensor]]:
        """The components and their features, contiguous."""
        if self.shared:
            return [(self.distinct[0], rows.reshape(rows.shape[0] * self.count, rows.shape[1] // self.count))]
        groups = rows.unflatten(1, (self.count, -1)).transpose(0, 1)
        if is_exporting():  # a program for any number of rows cannot ask whether it is 1
            groups = groups.clone(memory_format=torch.contiguous_format)
        return list(zip(self.components, groups.contiguous().unbind(0), strict=True))

    def _unite(self, outputs: Sequence[Tensor]) -> Tensor:
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
