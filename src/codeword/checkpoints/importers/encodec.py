"""EnCodec and audiocraft: a residual stack of moving averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from codeword.checkpoints.importers.library import (
    Library,
    codebook_table,
    codes_beside,
    count_of,
    flag,
    residual_table,
    same_names,
    sums_of,
)
from codeword.checkpoints.importers.table import KeyTable, State, joined, renamed
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, Residual, VectorQuantizer
from codeword.updates import EMA

__all__ = ["EnCodec", "EnCodecTransformers", "NeMo", "WavTokenizer", "XCodecTransformers"]


@dataclass(frozen=True)
class EnCodec(Library):
    """The quantizer of EnCodec and audiocraft: `quantizer.vq.layers.0._codebook.embed` and so on.

    Codes and running counts are taken over, and the sums follow from them; revival and the start are codeword's own.

    Args:
        decay: of the moving average, should training go on.
        dim: the axis of the features: 1, as their models have it.

    Source: Defossez et al. 2022 (arXiv:2210.13438).
    """

    decay: float = 0.99
    dim: int = 1

    places: ClassVar[tuple[str, ...]] = ("quantizer.vq.", "vq.", "")
    mark: ClassVar[str] = "layers.0."
    codebook: ClassVar[str] = "_codebook."
    layer: ClassVar[str] = "layers.{}."
    inited: ClassVar[str] = "inited"
    embed: ClassVar[str] = "embed"
    sums: ClassVar[str] = "embed_avg"

    def build(self, state: State) -> Quantizer:
        stages = [self._stage(state, stage) for stage in range(count_of(state, self._embed("{}")))]
        return Residual(stages, dim=self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        return residual_table(quantizer, self.layer, self._stage_table)

    def _embed(self, stage: int | str) -> str:
        return f"{self.layer.format(stage)}{self.codebook}{self.embed}"

    def _stage(self, state: State, stage: int) -> VectorQuantizer:
        size, width = state[self._embed(stage)].shape
        wide = state.get(f"{self.layer.format(stage)}project_in.weight")
        features = width if wide is None else wide.shape[1]
        narrow = None if wide is None else width
        return VectorQuantizer(
            features, size, code_features=narrow, update=EMA(decay=self.decay, smoothing=1e-5)
        )

    def _stage_table(self, stage: VectorQuantizer) -> KeyTable:
        rows = [
            renamed(self.inited, "initialized", flag, _numbered),
            joined(
                (self.embed, "cluster_size", self.sums),
                ("codes", "cluster_size"),
                lambda codes, size, sums: (codes_beside(codes, sums), size),
                lambda codes, size: (codes, size, sums_of(stage.codebook, codes, size)),
            ),
        ]
        table = codebook_table(stage.codebook, rows).under(self.codebook, "codebook.")
        for name in ("project_in", "project_out"):
            layer = getattr(stage, name)
            if layer is not None:
                table += same_names(f"{name}.", f"{name}.", layer)
        return table


@dataclass(frozen=True)
class EnCodecTransformers(EnCodec):
    """The quantizer of EnCodec in transformers: `quantizer.layers.0.codebook.embed` and so on. See `EnCodec`."""

    places: ClassVar[tuple[str, ...]] = ("quantizer.", "")
    codebook: ClassVar[str] = "codebook."


@dataclass(frozen=True)
class XCodecTransformers(EnCodecTransformers):
    """The quantizer of X-Codec in transformers: `quantizer.quantizers.0.codebook.embed` and so on. See `EnCodec`.

    Source: Ye et al. 2024 (arXiv:2408.17175).
    """

    mark: ClassVar[str] = "quantizers.0."
    layer: ClassVar[str] = "quantizers.{}."


@dataclass(frozen=True)
class WavTokenizer(EnCodec):
    """The quantizer of WavTokenizer: `feature_extractor.encodec.quantizer.vq.layers.0._codebook.embed`. See `EnCodec`.

    Its models have one codebook. With more, what it computes in training is not what its `encode` gives: refused.

    Source: Ji et al. 2024 (arXiv:2408.16532).
    """

    places: ClassVar[tuple[str, ...]] = ("feature_extractor.encodec.quantizer.vq.", *EnCodec.places)

    def build(self, state: State) -> Quantizer:
        count = count_of(state, self._embed("{}"))
        if count > 1:
            remedy = 'pass library="encodec" if they are the stages of a stack'
            raise CodewordError.of("one codebook of WavTokenizer", f"{count}", remedy)
        return super().build(state)


@dataclass(frozen=True)
class NeMo(EnCodec):
    """The residual quantizer of NeMo's audio codecs: `vector_quantizer.codebooks.0.codes` and so on. See `EnCodec`.

    Of groups (`vector_quantizer.rvqs.0.codebooks.0.codes`) each is one: pass its prefix. FSQ is `nemo-fsq`.

    Source: the audio codecs of NVIDIA NeMo.
    """

    places: ClassVar[tuple[str, ...]] = ("vector_quantizer.", "")
    mark: ClassVar[str] = "codebooks.0."
    layer: ClassVar[str] = "codebooks.{}."
    codebook: ClassVar[str] = ""
    embed: ClassVar[str] = "codes"
    inited: ClassVar[str] = "initialized"
    sums: ClassVar[str] = "codes_avg"


def _numbered(initialized: Tensor) -> Tensor:
    return initialized.float().reshape(1)
