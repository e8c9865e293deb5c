"""`ResidualLFQ` and `GroupedResidualLFQ`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.lookup_free_quantization import LFQ, Bits
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.compat.vector_quantize_pytorch.stacks import GroupedLayer, StackLayer, Stages, dropout_of

__all__ = ["GroupedResidualLFQ", "ResidualLFQ"]


class ResidualLFQ(StackLayer):
    """A stack of LFQ; the codes of each stage have half the size of those of the stage before.

    Args:
        dim: features of a vector.
        num_quantizers: how many stages.
        codebook_size: a power of 2, of each stage.
        quantize_dropout, quantize_dropout_cutoff_index, quantize_dropout_multiple_of: as for `ResidualVQ`.
        soft_clamp_input_value: of the first stage; halved from stage to stage.
        channel_first: whether features are on axis 1; None: with four axes or more, if there are `dim` of them.
        options: those of `LFQ`.

    Returns (forward):
        quantized like x, indices (..., stages), losses (stages,), 0 in eval; with `return_all_codes` also the codes
        (stages, ..., bits).

    Examples:
        >>> lfq = ResidualLFQ(dim=8, codebook_size=256, num_quantizers=3).eval()
        >>> quantized, indices, losses = lfq(torch.randn(1, 10, 8))
        >>> indices.shape, bool((quantized == lfq.get_output_from_indices(indices)).all())
        (torch.Size([1, 10, 3]), True)
    """

    def __init__(
        self,
        *,
        dim: int,
        num_quantizers: int,
        codebook_size: int,
        channel_first: bool | None = None,
        **options: Any,
    ) -> None:
        self._around(_stack(dim, num_quantizers, codebook_size, options))
        self.channel_first = channel_first

    channel_first: bool | None = None

    @property
    def codebooks(self) -> Tensor:
        """All codes (stages, K, bits)."""
        return torch.stack([part.corners() for part in self.quantizer.distinct if isinstance(part, Bits)])

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        return_all_codes: bool = False,
        rand_quantize_dropout_fixed_seed: int | None = None,
    ) -> tuple[Tensor, ...]:
        """See the class."""
        first = x.ndim >= 4 and x.shape[1] == self.dim if self.channel_first is None else self.channel_first
        settings = Settings(dropout_seed=rand_quantize_dropout_fixed_seed)
        out = self._forward(x.movedim(1, -1) if first else x, mask, settings)
        quantized = out.quantized.movedim(-1, 1) if first else out.quantized
        found = quantized, out.indices, self._loss(out.loss)
        return (*found, self.get_codes_from_indices(out.indices)) if return_all_codes else found


class GroupedResidualLFQ(GroupedLayer):
    """A stack for each group of the features: see `ResidualLFQ`.

    Args:
        dim: features of a vector.
        groups: how many.
        accept_image_fmap: (batch, dim, height, width).
        options: those of `ResidualLFQ`.

    Returns (forward):
        quantized like x, indices (groups, ..., stages), losses (groups, stages), 0 in eval; with `return_all_codes`
        also a tuple of the codes (stages, ..., bits) of each group.

    Examples:
        >>> lfq = GroupedResidualLFQ(dim=16, groups=2, codebook_size=256, num_quantizers=3)
        >>> quantized, indices, losses = lfq(torch.randn(1, 10, 16))
        >>> indices.shape, losses.shape
        (torch.Size([2, 1, 10, 3]), torch.Size([2, 3]))
    """

    of = ResidualLFQ
    handed = ResidualLFQ.handed

    def __init__(self, *, dim: int, groups: int = 1, accept_image_fmap: bool = False, **options: Any) -> None:
        stages, size = options.pop("num_quantizers"), options.pop("codebook_size")
        super().__init__(
            dim, groups, accept_image_fmap, lambda width: _stack(width, stages, size, dict(options))
        )

    def forward(
        self, x: Tensor, mask: Tensor | None = None, return_all_codes: bool = False
    ) -> tuple[Any, ...]:
        """See the class."""
        out = self._forward(x, mask)
        return self._returned(out, out.loss, return_all_codes)


def _stack(dim: int, count: int, size: int, options: dict[str, Any]) -> Stages:
    dropout = dropout_of(options, count)
    clamp = options.pop("soft_clamp_input_value", None)
    refuse("ResidualLFQ", {name: options.pop(name) for name in _OF_THE_STACK if name in options})
    parts = []
    for number in range(count):
        own = {"codebook_scale": 2.0**-number, **options}
        if clamp is not None:
            own["soft_clamp_input_value"] = clamp * 2.0**-number
        parts.append(LFQ(codebook_size=size, **own).quantizer)
    width = parts[0].features
    return Stages(parts, features=None if width == dim else dim, **dropout)


# What a stage has only by itself, or from its stack.
_OF_THE_STACK = (
    "codebook_scale",
    "has_projections",
    "num_codebooks",
    "keep_num_codebooks_dim",
    "channel_first",
)
