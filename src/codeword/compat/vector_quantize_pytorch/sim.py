"""`SimVQ` and `ResidualSimVQ`."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.compat.vector_quantize_pytorch.options import refuse
from codeword.compat.vector_quantize_pytorch.residual import Stages, codebooks_of, codes_of_stages
from codeword.estimators import Rotation, StraightThrough
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Residual, VectorQuantizer
from codeword.transforms import Linear
from codeword.updates import Frozen

__all__ = ["ResidualSimVQ", "SimVQ"]


class SimVQ(Layer):
    """Frozen random codes through one learned linear map.

    Args:
        dim: features of a vector and of a code.
        codebook_size: how many codes.
        channel_first: whether features are on axis 1.
        rotation_trick: whether the gradient is rotated; otherwise it goes straight through.
        input_to_quantize_commit_loss_weight: of the pull of vectors to codes, against that of codes to vectors.
        commitment_weight: of both.
        others: refused by name.

    Examples:
        >>> sim_vq = SimVQ(dim=8, codebook_size=16, rotation_trick=True)
        >>> x = torch.randn(1, 10, 8)
        >>> quantized, indices, loss = sim_vq(x)
        >>> bool(torch.allclose(quantized, sim_vq.indices_to_codes(indices), atol=1e-6))
        True
    """

    def __init__(self, dim: int, codebook_size: int, *, channel_first: bool = False, **options: Any) -> None:
        super().__init__(_build("SimVQ", dim, codebook_size, 1 if channel_first else -1, options))
        self.codebook_size = codebook_size
        self.channel_first = channel_first

    quantizer: VectorQuantizer

    @property
    def codebook(self) -> Tensor:
        """The codes (K, dim) as they are searched."""
        return self.quantizer.codebook.searched()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized like x, indices of x's shape without features, the loss, a scalar, in eval too."""
        out = self.quantizer(x)
        return out.quantized, out.indices, out.loss

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices; -1 gives zeros."""
        return self.quantizer.decode(indices)


class ResidualSimVQ(Layer):
    """A stack of `SimVQ`.

    Args:
        dim, codebook_size, channel_first, options: as for `SimVQ`.
        num_quantizers: how many stages.
        quantize_dropout, quantize_dropout_cutoff_index: as for `ResidualVQ`.

    Examples:
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
        quantize_dropout: bool = False,
        quantize_dropout_cutoff_index: int = 0,
        **options: Any,
    ) -> None:
        stages = [
            _build("ResidualSimVQ", dim, codebook_size, -1, dict(options)) for _ in range(num_quantizers)
        ]
        drops = quantize_dropout and num_quantizers > 1
        super().__init__(
            Stages(
                stages,
                dim=1 if channel_first else -1,
                dropout=1.0 if drops else 0.0,
                minimum_stages=quantize_dropout_cutoff_index + 1 if drops else 1,
            )
        )
        self.num_quantizers = num_quantizers
        self.codebook_size = codebook_size

    quantizer: Residual

    @property
    def codebooks(self) -> Tensor:
        """The codes (stages, K, dim) as they are searched."""
        return codebooks_of(self.quantizer)

    def forward(self, x: Tensor, return_all_codes: bool = False, **others: Any) -> tuple[Tensor, ...]:
        """Quantized like x, indices (..., stages), losses (stages,); and the codes, where they are asked for."""
        refuse("ResidualSimVQ.forward", others)
        out = self.quantizer(x)
        found = out.quantized, out.indices, out.loss
        return (*found, self.get_codes_from_indices(out.indices)) if return_all_codes else found

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (stages, ...) in the layout of forward; zeros for -1 and missing stages."""
        axis = self.quantizer.dim
        return codes_of_stages(self.quantizer, indices).movedim(-1, 2 if axis == 1 else -1)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (..., stages or fewer)."""
        return self.quantizer.decode(indices)


def _build(owner: str, dim: int, size: int, axis: int, options: dict[str, Any]) -> VectorQuantizer:
    rotation = options.pop("rotation_trick", True)
    pull = options.pop("input_to_quantize_commit_loss_weight", 0.25)
    weight = options.pop("commitment_weight", 1.0)
    refuse(owner, options)
    vq = VectorQuantizer(
        dim,
        size,
        dim=axis,
        update=Frozen(init=None, transform=Linear(matched=False)),
        estimator=Rotation() if rotation else StraightThrough(),
        penalties=(Commitment(pull * weight), CodebookLoss(weight)),
    )
    vq.codebook.init_from_(torch.randn_like(vq.codebook.codes) / sqrt(dim))
    transform: Any = vq.codebook.transform
    nn.init.kaiming_uniform_(transform.weight, a=sqrt(5))
    transform.bias.requires_grad_(False)  # theirs has none
    return vq
