"""taming-transformers, the VQGAN that many image tokenizers descend from: one codebook that learns by gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from codeword.checkpoints.importers.library import Library, codebook_table, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, renamed
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.updates import Gradient

__all__ = ["Taming"]


@dataclass(frozen=True)
class Taming(Library):
    """`VectorQuantizer` and `VectorQuantizer2`: `quantize.embedding.weight`.

    The convolutions around it, `quant_conv` and `post_quant_conv`, belong to the model and stay there.

    Args:
        beta: its weight.
        legacy: where its code puts beta: on the codebook term (its default), or on the commitment as the paper does.
        dim: the axis of the features: 1, as its models have it.

    Source: Esser et al. 2020 (arXiv:2012.09841).
    """

    beta: float = 0.25
    legacy: bool = True
    dim: int = 1

    places: ClassVar[tuple[str, ...]] = ("quantize.", "")
    mark: ClassVar[str] = "embedding."

    def build(self, state: State) -> Quantizer:
        size, features = only(state, "embedding.weight").shape
        commitment, codes = (1.0, self.beta) if self.legacy else (self.beta, 1.0)
        return VectorQuantizer(
            features,
            size,
            dim=self.dim,
            update=Gradient(),
            penalties=(Commitment(commitment), CodebookLoss(codes)),
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, VectorQuantizer)
        rows = [renamed("embedding.weight", "codes")]
        return random_keys(quantizer) + codebook_table(quantizer.codebook, rows).under("", "codebook.")
