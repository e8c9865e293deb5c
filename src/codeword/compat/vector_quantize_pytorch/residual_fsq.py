"""`ResidualFSQ` and `GroupedResidualFSQ`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codeword import quantizers
from codeword.bounds import Cell
from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.finite_scalar_quantization import Rotated
from codeword.compat.vector_quantize_pytorch.grid import rotate
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.compat.vector_quantize_pytorch.stacks import (
    GroupedLayer,
    SeededDropout,
    StackLayer,
    dropout_of,
)
from codeword.errors import CodewordError
from codeword.functional import constant
from codeword.quantizers import FSQ, Residual

__all__ = ["GroupedResidualFSQ", "ResidualFSQ"]


class ResidualFSQ(StackLayer):
    """A stack of FSQ with symmetric levels, each stage on a finer grid.

    Args:
        levels: how many of each number.
        num_quantizers: how many stages.
        dim: features of a vector; None: as many as levels.
        is_channel_first: whether features, and the stages of indices, are on axis 1.
        quantize_dropout, quantize_dropout_cutoff_index, quantize_dropout_multiple_of: as for `ResidualVQ`.
        bound_hard_clamp: False: a tanh in each stage instead of one before the first.
        soft_clamp_input_value: c of c tanh(x / c), one number or one for each level, which is applied to the vectors
            first; with `bound_hard_clamp=False`.
        options: `orthogonal_rotation` and `noise_dropout` of each stage, and the options that have no effect in `FSQ`;
            any other raises an error that names it, unless it has its default value.

    Returns (forward):
        quantized like x, indices (..., stages); with `return_all_codes` also the codes (stages, ..., levels).

    Examples:
        >>> import torch
        >>> fsq = ResidualFSQ(dim=16, levels=[8, 5, 5, 3], num_quantizers=4).eval()
        >>> quantized, indices = fsq(torch.randn(1, 10, 16))
        >>> indices.shape, bool((quantized == fsq.get_output_from_indices(indices)).all())
        (torch.Size([1, 10, 4]), True)
    """

    def __init__(
        self,
        *,
        levels: Sequence[int],
        num_quantizers: int,
        dim: int | None = None,
        is_channel_first: bool = False,
        **options: Any,
    ) -> None:
        width = len(levels) if dim is None else dim
        self._around(_stack(width, levels, num_quantizers, 1 if is_channel_first else -1, options))

    def _around(self, quantizer: quantizers.ResidualFSQ) -> None:
        super()._around(quantizer)
        self.levels = quantizer.levels
        self.is_channel_first = quantizer.dim == 1

    @property
    def codebooks(self) -> Tensor:
        """All codes (stages, K, levels), each stage's from -1 to 1."""
        codes = []
        for part in self.quantizer.distinct:
            assert isinstance(part, FSQ)
            numbers = torch.arange(part.codebook_size, dtype=torch.int64, device=part.device)
            codes.append(Cell().value(part.grid.split(numbers).to(part.dtype), part.levels))
        return torch.stack(codes)

    def forward(
        self,
        x: Tensor,
        return_all_codes: bool = False,
        rand_quantize_dropout_fixed_seed: int | None = None,
    ) -> tuple[Tensor, ...]:
        """See the class."""
        out = self._forward(x, settings=Settings(dropout_seed=rand_quantize_dropout_fixed_seed))
        found = out.quantized, out.indices.movedim(-1, 1) if self.is_channel_first else out.indices
        return (*found, self.get_codes_from_indices(out.indices)) if return_all_codes else found


class GroupedResidualFSQ(GroupedLayer):
    """A stack for each group of the features: see `ResidualFSQ`.

    Args:
        dim: features of a vector.
        groups: how many.
        accept_image_fmap: (batch, dim, height, width).
        options: those of `ResidualFSQ`.

    Returns (forward):
        quantized like x, indices (groups, ..., stages); with `return_all_codes` also a tuple of the codes
        (stages, ..., levels) of each group.

    Examples:
        >>> import torch
        >>> fsq = GroupedResidualFSQ(dim=8, groups=2, levels=[8, 5, 5], num_quantizers=3)
        >>> quantized, indices = fsq(torch.randn(1, 10, 8))
        >>> quantized.shape, indices.shape
        (torch.Size([1, 10, 8]), torch.Size([2, 1, 10, 3]))
    """

    of = ResidualFSQ
    handed = ResidualFSQ.handed

    def __init__(self, *, dim: int, groups: int = 1, accept_image_fmap: bool = False, **options: Any) -> None:
        levels, stages = options.pop("levels"), options.pop("num_quantizers")
        super().__init__(
            dim, groups, accept_image_fmap, lambda width: _stack(width, levels, stages, -1, dict(options))
        )

    def forward(self, x: Tensor, return_all_codes: bool = False) -> tuple[Any, ...]:
        """See the class."""
        return self._returned(self._forward(x), None, return_all_codes)


class _Stack(SeededDropout, quantizers.ResidualFSQ):
    """A stack of given stages, with another reach of the tanh before the first one.

    Args:
        parts: the stages.
        features: size of a vector.
        dim: the axis of the features.
        reach: a number for each; None: that of `ResidualFSQ`; (): numbers come as they are.
        dropout: options of `Residual`.
    """

    def __init__(
        self,
        parts: Sequence[FSQ],
        features: int,
        dim: int,
        reach: tuple[float, ...] | None,
        dropout: dict[str, Any],
    ) -> None:
        Residual.__init__(self, parts, features=features, dim=dim, **dropout)
        self.levels, self.reach = parts[0].levels, reach

    def _squashed(self, rows: Tensor) -> Tensor:
        if self.reach is None:
            return super()._squashed(rows)
        if not self.reach:
            return rows
        reach = constant(self.reach, rows.device, rows.dtype)
        return (rows / reach).tanh() * reach


@dataclass(frozen=True)
class _SoftCell(Cell):
    """As `Cell`, through a tanh."""

    def place(self, rows: Tensor, levels: tuple[int, ...]) -> Tensor:
        size = self._size(rows, levels)
        return super().place((rows / size).tanh() * size, levels)


def _stack(
    dim: int, levels: Sequence[int], count: int, axis: int, options: dict[str, Any]
) -> quantizers.ResidualFSQ:
    hard, clamp = options.pop("bound_hard_clamp", True), options.pop("soft_clamp_input_value", None)
    if hard and clamp is not None:
        raise CodewordError.of(
            "bound_hard_clamp=False with soft_clamp_input_value", "True", "pass both, or neither"
        )
    turns, noise = options.pop("orthogonal_rotation", False), options.pop("noise_dropout", 0.0)
    dropout = dropout_of(options, count)
    refuse("ResidualFSQ", options)
    parts = [
        Rotated(len(levels), tuple(levels), bound=Cell(number) if hard else _SoftCell(number), noise=noise)
        for number in range(count)
    ]
    if turns:
        for part in parts:
            rotate(part)
    return _Stack(parts, dim, axis, None if hard else _reach(clamp, len(levels)), dropout)


def _reach(clamp: Any, count: int) -> tuple[float, ...]:
    if clamp is None:
        return ()
    numbers = torch.as_tensor(clamp, dtype=torch.float32, device="cpu").expand(count)
    return tuple(float(c) for c in numbers)
