"""VAR: one codebook at many scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from codeword.checkpoints.importers.library import Library, codebook_table, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, dropped, renamed
from codeword.errors import CodewordError
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Multiscale, Quantizer, VectorQuantizer
from codeword.updates import Gradient

__all__ = ["VAR"]


@dataclass(frozen=True)
class VAR(Library):
    """The quantizer of VAR without phi: `quantize.embedding.weight`. Its `ema_vocab_hit_SV`, a log, is dropped.

    With phi, convolutions after upsampling (`quantize.quant_resi.`), which the published models have, the scales are
    not what `Multiscale` computes: refused. What is quantized at one scale is `convert(..., library="taming")` of the
    codes alone.

    Args:
        sizes: of the scales, as `v_patch_nums`.
        beta: the weight of the commitment.
        znorm: its `using_znorm`: codes are searched by angle.
        dim: the axis of the features: 1, as its models have it.

    Source: Tian et al. 2024 (arXiv:2404.02905).
    """

    sizes: Sequence[int] = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
    beta: float = 0.25
    znorm: bool = False
    dim: int = 1

    places: ClassVar[tuple[str, ...]] = ("quantize.", "")
    mark: ClassVar[str] = "embedding."

    def build(self, state: State) -> Quantizer:
        phi = next((key for key in state if key.startswith("quant_resi.")), None)
        if phi is not None:
            remedy = 'pass {"embedding.weight": its codes} with library="taming" for one scale'
            raise CodewordError.of("a VAR without phi", f"{phi!r}, a convolution after upsampling", remedy)
        size, features = only(state, "embedding.weight").shape
        codes = VectorQuantizer(
            features,
            size,
            update=Gradient(),
            metric=Cosine() if self.znorm else Euclidean(),
            penalties=(Commitment(self.beta), CodebookLoss(1.0)),
        )
        return Multiscale(
            [codes] * len(self.sizes), sizes=[(side, side) for side in self.sizes], dim=self.dim
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, Multiscale)
        (codes,) = quantizer.distinct
        assert isinstance(codes, VectorQuantizer)
        rows = [
            renamed("embedding.weight", "codes"),
            dropped(
                "ema_vocab_hit_SV", "how often codes were chosen at each scale, for a log", optional=True
            ),
        ]
        return random_keys(quantizer) + codebook_table(codes.codebook, rows).under(
            "", "quantizers.0.codebook."
        )
