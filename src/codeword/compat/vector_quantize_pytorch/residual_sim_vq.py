"""`ResidualSimVQ`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.residual_vq import codebooks_of
from codeword.compat.vector_quantize_pytorch.sim_vq import SimVQ, build
from codeword.compat.vector_quantize_pytorch.stacks import StackLayer, Stages, dropout_of
from codeword.quantizers import VectorQuantizer

__all__ = ["ResidualSimVQ"]


class ResidualSimVQ(StackLayer):
    """A stack of `SimVQ`.

    Args:
        dim, codebook_size, channel_first, options: as for `SimVQ`.
        num_quantizers: how many stages.
        quantize_dropout, quantize_dropout_cutoff_index, quantize_dropout_multiple_of: as for `ResidualVQ`.

    Examples:
        >>> import torch
        >>> sim_vq = ResidualSimVQ(dim=8, num_quantizers=4, codebook_size=16)
        >>> quantized, indices, losses = sim_vq(torch.randn(1, 10, 8))
        >>> indices.shape, losses.shape
        (torch.Size([1, 10, 4]), torch.Size([4]))
    """

    def __init__(
        self,
        *,
        dim: int,
        num_quantizers: int,
        codebook_size: int,
        channel_first: bool = False,
        **options: Any,
    ) -> None:
        dropout = dropout_of(options, num_quantizers)
        stages = [
            build("ResidualSimVQ", dim, codebook_size, -1, dict(options)) for _ in range(num_quantizers)
        ]
        self._around(Stages(stages, dim=1 if channel_first else -1, **dropout))

    @property
    def codebooks(self) -> Tensor:
        """The codes (stages, K, dim) as they are searched."""
        return codebooks_of(self.quantizer)

    @property
    def layers(self) -> nn.ModuleList:
        """The stages as layers around the existing quantizers."""
        stages = [stage for stage in self.quantizer.distinct if isinstance(stage, VectorQuantizer)]
        return nn.ModuleList(SimVQ.around(stage) for stage in stages)

    def forward(
        self,
        x: Tensor,
        return_all_codes: bool = False,
        rand_quantize_dropout_fixed_seed: int | None = None,
    ) -> tuple[Tensor, ...]:
        """Quantized like x, indices (..., stages), losses (stages,); and the codes, where they are asked for."""
        out = self._forward(x, settings=Settings(dropout_seed=rand_quantize_dropout_fixed_seed))
        found = out.quantized, out.indices, out.loss
        return (*found, self.get_codes_from_indices(out.indices)) if return_all_codes else found

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (stages, ...) in the layout of forward; zeros for -1 and missing stages."""
        return super().get_codes_from_indices(indices).movedim(-1, 2 if self.quantizer.dim == 1 else -1)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (..., stages or fewer)."""
        return self.quantizer.decode(indices)
