"""`ResidualLFQ` and `GroupedResidualLFQ`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.compat.vector_quantize_pytorch.lookup_free_quantization import LFQ, Bits
from codeword.compat.vector_quantize_pytorch.residual_vq import Groups, Stages, codes_of_stages
from codeword.errors import CodewordError
from codeword.quantizers import Grouped, Residual

__all__ = ["GroupedResidualLFQ", "ResidualLFQ"]


class ResidualLFQ(Layer):
    """A stack of LFQ, each stage with codes of half the size of those before.

    Args:
        dim: features of a vector.
        num_quantizers: how many stages.
        codebook_size: a power of 2, of each stage.
        quantize_dropout, quantize_dropout_cutoff_index, quantize_dropout_multiple_of: as for `ResidualVQ`.
        soft_clamp_input_value: of the first stage; halved from stage to stage.
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

    def __init__(self, *, dim: int, num_quantizers: int, codebook_size: int, **options: Any) -> None:
        self._around(_stack(dim, num_quantizers, codebook_size, options))

    def _around(self, quantizer: Residual) -> None:
        super().__init__(quantizer)
        self.dim = quantizer.features
        self.num_quantizers = quantizer.count
        self.codebook_size = quantizer.codebook_sizes[0]

    @classmethod
    def around(cls, quantizer: Residual) -> ResidualLFQ:
        """The layer of a stack that there is already, such as that of a group."""
        layer = cls.__new__(cls)
        layer._around(quantizer)
        return layer.train(quantizer.training)

    quantizer: Residual

    @property
    def layers(self) -> nn.ModuleList:
        """The quantizers of the stages."""
        return nn.ModuleList(self.quantizer.distinct)

    @property
    def codebooks(self) -> Tensor:
        """All codes (stages, K, bits)."""
        parts = [part for part in self.quantizer.distinct if isinstance(part, Bits)]
        numbers = torch.arange(self.codebook_size, dtype=torch.int64, device=self.quantizer.device)
        return torch.stack([part._vectors(part.grid.split(numbers)) for part in parts])

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        return_all_codes: bool = False,
        rand_quantize_dropout_fixed_seed: int | None = None,
    ) -> tuple[Tensor, ...]:
        """See the class."""
        out = self._forward(x, mask, Settings(dropout_seed=rand_quantize_dropout_fixed_seed))
        found = out.quantized, out.indices, self._loss(out.loss)
        return (*found, self.get_codes_from_indices(out.indices)) if return_all_codes else found

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (stages, ..., bits) of indices (..., stages or fewer); zeros for -1 and missing stages."""
        return codes_of_stages(self.quantizer, indices)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (..., stages or fewer)."""
        return self.quantizer.decode(indices)


class GroupedResidualLFQ(Layer):
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

    def __init__(self, *, dim: int, groups: int = 1, accept_image_fmap: bool = False, **options: Any) -> None:
        if dim % groups:
            raise CodewordError.of(
                f"dim that {groups} groups divide", repr(dim), "pass another number of groups"
            )
        stages, size = options.pop("num_quantizers"), options.pop("codebook_size")
        stacks = [_stack(dim // groups, stages, size, dict(options)) for _ in range(groups)]
        super().__init__(Groups(stacks, dim=1 if accept_image_fmap else -1))
        self.dim, self.groups, self.accept_image_fmap = dim, groups, accept_image_fmap

    quantizer: Grouped

    @property
    def codebook_size(self) -> int:
        return self.quantizer.codebook_sizes[0]

    @property
    def rvqs(self) -> nn.ModuleList:
        """The stacks as layers, around the quantizers that there are."""
        stacks = [stack for stack in self.quantizer.distinct if isinstance(stack, Residual)]
        return nn.ModuleList(ResidualLFQ.around(stack) for stack in stacks)

    @property
    def codebooks(self) -> Tensor:
        """The codes (groups, stages, K, bits)."""
        return torch.stack([stack.codebooks for stack in self.rvqs])  # type: ignore[misc]

    def forward(
        self, x: Tensor, mask: Tensor | None = None, return_all_codes: bool = False
    ) -> tuple[Any, ...]:
        """See the class."""
        out = self._forward(x, mask)
        indices = out.indices.movedim(-2, 0)
        found = out.quantized, indices, self._loss(out.loss)
        return (*found, tuple(self.get_codes_from_indices(indices))) if return_all_codes else found

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (groups, stages, ..., bits) of indices (groups, ..., stages)."""
        pairs = zip(self.rvqs, indices, strict=True)
        return torch.stack([stack.get_codes_from_indices(index) for stack, index in pairs])  # type: ignore[operator]

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (groups, ..., stages)."""
        return self.quantizer.decode(indices.movedim(0, -2))


def _stack(dim: int, count: int, size: int, options: dict[str, Any]) -> Stages:
    drops = options.pop("quantize_dropout", False) and count > 1
    always = options.pop("quantize_dropout_cutoff_index", 0) + 1
    multiple = options.pop("quantize_dropout_multiple_of", 1)
    clamp = options.pop("soft_clamp_input_value", None)
    parts = []
    for number in range(count):
        own = {"codebook_scale": 2.0**-number, **options}
        if clamp is not None:
            own["soft_clamp_input_value"] = clamp * 2.0**-number
        parts.append(LFQ(codebook_size=size, **own).quantizer)
    width = parts[0].features
    return Stages(
        parts,
        features=None if width == dim else dim,
        dropout=1.0 if drops else 0.0,
        minimum_stages=always if drops else 1,
        dropout_multiple=multiple if drops else 1,
    )
