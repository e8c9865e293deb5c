"""`ResidualFSQ` and `GroupedResidualFSQ`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from codeword import quantizers
from codeword.bounds import Cell
from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.compat.vector_quantize_pytorch.residual_vq import SeededDropout, codes_of_stages
from codeword.errors import CodewordError
from codeword.quantizers import FSQ, Grouped

__all__ = ["GroupedResidualFSQ", "ResidualFSQ"]


class ResidualFSQ(Layer):
    """A stack of FSQ with symmetric levels, each stage on a finer grid.

    Args:
        levels: how many of each number.
        num_quantizers: how many stages.
        dim: features of a vector; None: as many as levels.
        is_channel_first: whether features, and the stages of indices, are on axis 1.
        quantize_dropout, quantize_dropout_cutoff_index, quantize_dropout_multiple_of: as for `ResidualVQ`.
        bound_hard_clamp: False: a tanh in each stage instead of one before the first.
        others: refused by name, unless they are at their defaults.

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
        bound_hard_clamp: bool = True,
        **options: Any,
    ) -> None:
        width = len(levels) if dim is None else dim
        axis = 1 if is_channel_first else -1
        self._around(_stack(width, levels, num_quantizers, axis, bound_hard_clamp, options))

    def _around(self, quantizer: quantizers.ResidualFSQ) -> None:
        super().__init__(quantizer)
        self.levels = quantizer.levels
        self.num_quantizers = quantizer.count
        self.is_channel_first = quantizer.dim == 1

    @classmethod
    def around(cls, quantizer: quantizers.ResidualFSQ) -> ResidualFSQ:
        """The layer of a stack that there is already, such as that of a group."""
        layer = cls.__new__(cls)
        layer._around(quantizer)
        return layer.train(quantizer.training)

    quantizer: quantizers.ResidualFSQ

    @property
    def codebook_size(self) -> int:
        return self.quantizer.codebook_sizes[0]

    @property
    def layers(self) -> nn.ModuleList:
        """The quantizers of the stages."""
        return nn.ModuleList(self.quantizer.distinct)

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

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (stages, ..., levels) of indices (..., stages or fewer); zeros for -1 and missing stages."""
        return codes_of_stages(self.quantizer, indices)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (..., stages or fewer), features last."""
        return self.quantizer.decode(indices).movedim(self.quantizer.dim, -1)


class GroupedResidualFSQ(Layer):
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

    def __init__(self, *, dim: int, groups: int = 1, accept_image_fmap: bool = False, **options: Any) -> None:
        if dim % groups:
            raise CodewordError.of(
                f"dim that {groups} groups divide", repr(dim), "pass another number of groups"
            )
        levels, stages = options.pop("levels"), options.pop("num_quantizers")
        hard = options.pop("bound_hard_clamp", True)
        stacks = [_stack(dim // groups, levels, stages, -1, hard, dict(options)) for _ in range(groups)]
        super().__init__(Grouped(stacks, dim=1 if accept_image_fmap else -1))
        self.dim, self.groups, self.accept_image_fmap = dim, groups, accept_image_fmap

    quantizer: Grouped

    @property
    def codebook_size(self) -> int:
        return self.quantizer.codebook_sizes[0]

    @property
    def rvqs(self) -> nn.ModuleList:
        """The stacks as layers, around the quantizers that there are."""
        return nn.ModuleList(
            ResidualFSQ.around(stack)
            for stack in self.quantizer.distinct
            if isinstance(stack, quantizers.ResidualFSQ)
        )

    @property
    def codebooks(self) -> Tensor:
        """The codes (groups, stages, K, levels)."""
        return torch.stack([stack.codebooks for stack in self.rvqs])  # type: ignore[misc]

    def forward(self, x: Tensor, return_all_codes: bool = False) -> tuple[Any, ...]:
        """See the class."""
        out = self._forward(x)
        indices = out.indices.movedim(-2, 0)
        found = out.quantized, indices
        return (*found, tuple(self.get_codes_from_indices(indices))) if return_all_codes else found

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (groups, stages, ..., levels) of indices (groups, ..., stages)."""
        pairs = zip(self.rvqs, indices, strict=True)
        return torch.stack([stack.get_codes_from_indices(index) for stack, index in pairs])  # type: ignore[operator]

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (groups, ..., stages)."""
        return self.quantizer.decode(indices.movedim(0, -2))


class _Stack(SeededDropout, quantizers.ResidualFSQ):
    """With numbers of stages that a call may fix, and numbers that may come as they are."""

    squashes = True

    def _squashed(self, rows: Tensor) -> Tensor:
        return super()._squashed(rows) if self.squashes else rows


@dataclass(frozen=True)
class _SoftCell(Cell):
    """As `Cell`, through a tanh."""

    def place(self, rows: Tensor, levels: tuple[int, ...]) -> Tensor:
        size = self._size(rows, levels)
        return super().place((rows / size).tanh() * size, levels)


def _stack(
    dim: int, levels: Sequence[int], count: int, axis: int, hard: bool, options: dict[str, Any]
) -> quantizers.ResidualFSQ:
    drops = options.pop("quantize_dropout", False) and count > 1
    always = options.pop("quantize_dropout_cutoff_index", 0) + 1
    multiple = options.pop("quantize_dropout_multiple_of", 1)
    options.pop("projection_has_bias", True)  # of its stages, which have no projections
    refuse("ResidualFSQ", options)
    stack = _Stack(
        dim,
        tuple(levels),
        count,
        dim=axis,
        dropout=1.0 if drops else 0.0,
        minimum_stages=always if drops else 1,
        dropout_multiple=multiple if drops else 1,
    )
    if not hard:
        stack.squashes = False
        for number, part in enumerate(stack.distinct):
            part.bound = _SoftCell(number)  # type: ignore[assignment]
    return stack
