"""LlamaGen: narrow codes on the unit sphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from codeword.checkpoints.importers.library import Library, codebook_table, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, dropped, renamed
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.updates import Gradient

__all__ = ["LlamaGen", "TiTok"]


@dataclass(frozen=True)
class LlamaGen(Library):
    """`quantize.embedding.weight`, with vectors and codes normalised, as its published tokenizers have it.

    The convolutions around it, `quant_conv` and `post_quant_conv`, belong to the model and stay there. Its
    `codebook_used`, which only feeds a log, is dropped.

    Args:
        beta: the weight of the commitment.
        l2_norm: whether vectors and codes are normalised, and codes returned so.
        dim: the axis of the features: 1, as its models have it.

    Source: Sun et al. 2024 (arXiv:2406.06525).
    """

    beta: float = 0.25
    l2_norm: bool = True
    dim: int = 1

    places: ClassVar[tuple[str, ...]] = ("quantize.", "")
    mark: ClassVar[str] = "embedding."
    log: ClassVar[tuple[str, str]] = ("codebook_used", "the last indices seen, for a log")

    def build(self, state: State) -> Quantizer:
        size, features = only(state, "embedding.weight").shape
        return VectorQuantizer(
            features,
            size,
            dim=self.dim,
            update=Gradient(),
            metric=Cosine(unit=True) if self.l2_norm else Euclidean(),
            penalties=(Commitment(self.beta), CodebookLoss(1.0)),
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, VectorQuantizer)
        rows = [
            renamed("embedding.weight", "codes"),
            dropped(*self.log, optional=True),
        ]
        return random_keys(quantizer) + codebook_table(quantizer.codebook, rows).under("", "codebook.")


@dataclass(frozen=True)
class TiTok(LlamaGen):
    """`quantize.embedding.weight` of TiTok and of what else 1d-tokenizer trains with codes. See `LlamaGen`.

    Its latents are (batch, features, 1, tokens). `embed_prob`, the use of the codes that its clustering keeps, is
    dropped: codeword revives codes by its own rule. A TiTok with a Gaussian in the middle has no quantizer.

    Source: Yu et al. 2024 (arXiv:2406.07550).
    """

    log: ClassVar[tuple[str, str]] = ("embed_prob", "the use of the codes, for a clustering of its own")
