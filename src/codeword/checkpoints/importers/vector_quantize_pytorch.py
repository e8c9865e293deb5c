"""vector-quantize-pytorch: the quantizer that a state dictionary of it asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from codeword.bounds import Tanh
from codeword.checkpoints.importers.library import Library, count_of, only
from codeword.checkpoints.importers.table import KeyTable, State
from codeword.checkpoints.importers.vector_quantize_pytorch_keys import table_of
from codeword.errors import CodewordError
from codeword.estimators import Rotation
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import (
    FSQ,
    LFQ,
    Grouped,
    Quantizer,
    RandomProjection,
    Residual,
    ResidualFSQ,
    VectorQuantizer,
)
from codeword.transforms import Linear
from codeword.updates import EMA, Frozen

__all__ = ["VectorQuantizePytorch"]


@dataclass(frozen=True)
class VectorQuantizePytorch(Library):
    """`VectorQuantize`, `ResidualVQ`, `GroupedResidualVQ`, `SimVQ`, `ResidualSimVQ`, `LFQ`, `FSQ`, `ResidualFSQ`,
    and `RandomProjectionQuantizer` of one codebook.

    Which of them it is shows in the keys, but for FSQ, which keeps none of its own: pass its levels. What else the
    keys do not tell is passed; the facade `codeword.compat.vector_quantize_pytorch` takes the original's arguments
    instead, and its `.quantizer` is the same.

    Args:
        cosine: whether it was built with `use_cosine_sim=True`.
        heads: of a `VectorQuantize` whose heads share one codebook.
        shared: whether its stages share one codebook.
        decay: of the moving average, should training go on.
        levels: of an FSQ.
        stages: of a residual FSQ.
        dim: the axis of the features.
    """

    cosine: bool = False
    heads: int = 1
    shared: bool = False
    decay: float = 0.8
    levels: tuple[int, ...] = ()
    stages: int | None = None
    dim: int = -1

    places: ClassVar[tuple[str, ...]] = ("",)

    def build(self, state: State) -> Quantizer:
        if "rvqs.0.layers.0._codebook.embed" in state:
            count = count_of(state, "rvqs.{}.layers.0._codebook.embed")
            inner = replace(self, dim=-1)
            return Grouped([inner._residual(state, f"rvqs.{group}.") for group in range(count)], dim=self.dim)
        if any(key.startswith("layers.0.") for key in state):
            return self._residual(state, "")
        if self.levels:
            wide = state.get("project_out.weight")
            features = len(self.levels) if wide is None else len(wide)
            if self.stages is not None:
                return ResidualFSQ(features, self.levels, self.stages, dim=self.dim)
            return FSQ(features, self.levels, dim=self.dim, bound=Tanh(margin=-1e-3, exact=True))
        if "rand_projs" in state:
            return _random_projection(state, self.dim)
        if "mask" in state:
            wide = state.get("project_out.weight")
            return LFQ(len(state["mask"] if wide is None else wide), len(state["mask"]), dim=self.dim)
        return self._single(state, "", self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        return table_of(quantizer)

    def _residual(self, state: State, prefix: str) -> Residual:
        simple = f"{prefix}layers.0.frozen_codebook" in state
        last = "frozen_codebook" if simple else "_codebook.embed"
        count = count_of(state, f"{prefix}layers.{{}}.{last}")
        numbers = [0] * count if self.shared else range(count)
        built = {n: self._single(state, f"{prefix}layers.{n}.", -1) for n in set(numbers)}
        wide = state.get(f"{prefix}project_out.weight")
        return Residual(
            [built[n] for n in numbers], features=None if wide is None else len(wide), dim=self.dim
        )

    def _single(self, state: State, prefix: str, dim: int) -> Any:
        if f"{prefix}frozen_codebook" in state:
            return _simvq(state, prefix, dim)
        embed = only(state, f"{prefix}_codebook.embed")
        wide = state.get(f"{prefix}project_out.weight")
        heads = max(self.heads, len(embed))
        width = embed.shape[2]
        if heads == 1:
            features = width if wide is None else len(wide)
            return self._codes(features, embed.shape[1], None if wide is None else width, dim)
        parts = [self._codes(width, embed.shape[1], None, -1) for _ in range(len(embed))]
        parts = parts * (heads // len(parts))
        return Grouped(parts, features=None if wide is None else len(wide), dim=dim)

    def _codes(self, features: int, size: int, width: int | None, dim: int) -> VectorQuantizer:
        return VectorQuantizer(
            features,
            size,
            dim=dim,
            code_features=width,
            update=EMA(decay=self.decay, smoothing=1e-5),
            metric=Cosine(unit=True) if self.cosine else Euclidean(),
            penalties=(Commitment(1.0),),
        )


def _simvq(state: State, prefix: str, dim: int) -> VectorQuantizer:
    size, features = state[f"{prefix}frozen_codebook"].shape
    return VectorQuantizer(
        features,
        size,
        dim=dim,
        update=Frozen(init=None, transform=Linear(matched=False)),
        estimator=Rotation(),
        penalties=(Commitment(0.25), CodebookLoss(1.0)),
    )


def _random_projection(state: State, dim: int) -> RandomProjection:
    projections, embed = state["rand_projs"], only(state, "vq._codebook.embed")
    if len(projections) > 1:
        raise CodewordError.of(
            "one codebook of random projections",
            f"{len(projections)}, which are projected once more there",
            "load them into the facade, codeword.compat.vector_quantize_pytorch.RandomProjectionQuantizer",
        )
    _, features, width = projections.shape
    return RandomProjection(features, embed.shape[1], dim=dim, code_features=width)
