"""Residual lookup-free quantization, with codes of half the size at each stage."""

from __future__ import annotations

import torch

from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_size
from codeword.quantizers.composite.residual import Residual
from codeword.quantizers.implicit.lookup_free import LFQ

__all__ = ["ResidualLFQ"]


class ResidualLFQ(Residual):
    """Stages of LFQ, each with codes of half the size of those of the stage before.

    Stage m = 0, 1, ... quantizes the residual of those before, q_m = 2^-m sign(x - q_0 - ... - q_(m-1)): the binary
    digits of each number, most significant first. The error of M stages is at most 2^(1-M) in each number within -2 to
    2. The encoder gets the gradient of the output unchanged; `loss` and `losses` are means over the stages.

    Args:
        features: size of a vector; if it is not `bits`, learned projections are added.
        bits: of a code of one stage, 1 to 63.
        stages: how many.
        dim: the axis of the features.
        dropout: the share of items for which training keeps only the first n stages; as for `Residual`.
        minimum_stages: see `dropout`.
        dropout_multiple: the number of stages that stay is rounded up to a multiple of this, or to all.
        commitment: weight of `commitment` of each stage, as for `LFQ`.
        entropy: weight of `entropy` of each stage, as for `LFQ`.
        device: of parameters and buffers.
        dtype: of the projections.

    `indices` are (..., stages). A call accepts `stages`.

    Raises:
        CodewordError: a number out of its range.

    Source: in this form vector-quantize-pytorch's ResidualLFQ, for which the same indices come out.

    Examples:
        >>> rlfq = ResidualLFQ(2, 2, 3, entropy=0.0)
        >>> out = rlfq(torch.tensor([[1.3, -0.4]]))
        >>> out.quantized.tolist(), out.indices.tolist(), rlfq.spec
        ([[1.25, -0.25]], [[2, 3, 1]], 'rlfq2,stages=3,entropy=0.0')
    """

    spec_name = "rlfq"
    size_names = ("bits",)
    call_options = ("stages",)
    spec = Quantizer.spec

    def __init__(
        self,
        features: int,
        bits: int,
        stages: int,
        *,
        dim: int = -1,
        dropout: float = 0.0,
        minimum_stages: int = 1,
        dropout_multiple: int = 1,
        commitment: float = 0.25,
        entropy: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_size("stages", stages)
        parts = [
            LFQ(bits, bits, commitment=commitment, entropy=entropy, device=device) for _ in range(stages)
        ]
        for stage, part in enumerate(parts):
            part.scale = 2.0**-stage
        super().__init__(
            parts,
            features=features,
            dim=dim,
            dropout=dropout,
            minimum_stages=minimum_stages,
            dropout_multiple=dropout_multiple,
            device=device,
            dtype=dtype,
        )
        self.bits, self.stages, self.commitment, self.entropy = bits, stages, commitment, entropy
