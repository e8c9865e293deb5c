"""taming-transformers, the VQGAN that many image tokenizers descend from, and two that changed its quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from codeword.axes import Metric, Update
from codeword.checkpoints.importers.library import Library, codebook_table, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, renamed
from codeword.metrics import Dot, Euclidean
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.transforms import Linear
from codeword.updates import Frozen, Gradient

__all__ = ["IBQ", "SimVQ", "Taming"]


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
    metric: ClassVar[Metric] = Euclidean()
    update: ClassVar[Update] = Gradient()
    transform: ClassVar[Mapping[str, str]] = {}  # their keys of what is done to the codes

    def build(self, state: State) -> Quantizer:
        size, features = only(state, "embedding.weight").shape
        commitment, codes = (1.0, self.beta) if self.legacy else (self.beta, 1.0)
        return VectorQuantizer(
            features,
            size,
            dim=self.dim,
            update=self.update,
            metric=self.metric,
            penalties=(Commitment(commitment), CodebookLoss(codes)),
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, VectorQuantizer)
        rows = [renamed("embedding.weight", "codes"), *(renamed(*keys) for keys in self.transform.items())]
        return random_keys(quantizer) + codebook_table(quantizer.codebook, rows).under("", "codebook.")


@dataclass(frozen=True)
class IBQ(Taming):
    """`quantize.embedding.weight` of IBQ in SEED-Voken: the code of the largest product, not the nearest one.

    Should training go on, it is by straight-through: only the chosen code gets a gradient, where the original's
    softmax gives one to all.

    Source: Shi et al. 2024 (arXiv:2412.02692). See `Taming`.
    """

    metric: ClassVar[Metric] = Dot()


@dataclass(frozen=True)
class SimVQ(Taming):
    """`quantize.embedding.weight`, which stays as it is, and `quantize.embedding_proj`, the linear map that learns.

    Source: Zhu et al. 2024 (arXiv:2411.02038). See `Taming`; its code has beta on the commitment.
    """

    legacy: bool = False

    update: ClassVar[Update] = Frozen(init=None, transform=Linear(matched=False))
    transform: ClassVar[Mapping[str, str]] = {
        "embedding_proj.weight": "transform.weight",
        "embedding_proj.bias": "transform.bias",
    }
