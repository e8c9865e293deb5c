"""The Descript audio codec: a residual stack of narrow codes that are looked up by angle."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codeword.checkpoints.importers.library import (
    Library,
    codebook_table,
    count_of,
    only,
    random_keys,
    residual_table,
    wide,
)
from codeword.checkpoints.importers.table import KeyTable, Row, State, joined, renamed
from codeword.errors import CodewordError
from codeword.metrics import Cosine
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Quantizer, Residual, VectorQuantizer
from codeword.updates import Gradient

__all__ = ["DAC", "SNAC", "DACTransformers"]

_SNAC = re.compile(
    r"^(decoder\.model\.\d+\.block\.2\.linear\.|(en|de)coder\.\w+\.\d+\.(to_qkv|to_out|norm)\.)"
)
_SPELLINGS = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}


@dataclass(frozen=True)
class DAC(Library):
    """The quantizer of DAC: `quantizer.quantizers.0.codebook.weight`, `.in_proj.weight_g` and so on.

    Codes are looked up by angle and returned as they are. Projections have their weight norm multiplied out; both
    spellings of it are read (`weight_g`, and `parametrizations.weight.original0`), and the first is given back.

    Args:
        dim: the axis of the features: 1, as its models have it.

    Source: Kumar et al. 2023 (arXiv:2306.06546), with its weights of the losses.
    """

    dim: int = 1

    places: ClassVar[tuple[str, ...]] = ("quantizer.", "")
    mark: ClassVar[str] = "quantizers.0."
    normed: ClassVar[bool] = True  # whether projections are kept as direction and length

    def check_model(self, keys: Iterable[str]) -> None:
        """SNAC has the same keys in its quantizer, but noise in its decoder, or attention."""
        other = next((key for key in keys if _SNAC.search(key)), None)
        if other is not None:
            remedy = 'pass library="snac" and stage=0, 1, ...: its stages run at different rates'
            raise CodewordError.of("a model of DAC", f"{other!r}, a key of SNAC", remedy)

    def respell(self, state: State) -> State:
        return {_respelled(key): tensor for key, tensor in state.items()}

    def build(self, state: State) -> Quantizer:
        count = count_of(state, "quantizers.{}.codebook.weight")
        return Residual([_stage(state, f"quantizers.{stage}.") for stage in range(count)], dim=self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        return residual_table(quantizer, "quantizers.{}.", self._stage_table)

    def _stage_table(self, stage: VectorQuantizer) -> KeyTable:
        rows = []
        for foreign, native in (("in_proj.", "project_in."), ("out_proj.", "project_out.")):
            rows.append(renamed(f"{foreign}bias", f"{native}bias"))
            rows.append(_weight(self.normed).under(foreign, native))
        codes = codebook_table(stage.codebook, [renamed("weight", "codes")])
        return KeyTable(rows) + codes.under("codebook.", "codebook.")


@dataclass(frozen=True)
class DACTransformers(DAC):
    """The quantizer of DAC in transformers, whose projections have no weight norm. See `DAC`."""

    normed: ClassVar[bool] = False


@dataclass(frozen=True)
class SNAC(DAC):
    """One stage of SNAC: `quantizer.quantizers.0.codebook.weight`, `.in_proj.parametrizations.weight.original0`, ...

    Stage k sees the means of s_k neighbouring steps, and what it gives is repeated s_k times. No quantizer here is a
    stack of such stages, so each stage becomes one. With what is left over, at first the features z:

        q = stage.decode(stage.encode(avg_pool1d(left, s_k))).repeat_interleave(s_k, -1)        left <- left - q

    Args:
        stage: which one, from 0; the strides s_k are in the configuration of the model, as `vq_strides`.

    Source: Siuzdak et al. 2024 (arXiv:2410.14411).
    """

    stage: int = 0

    mark: ClassVar[str] = ""

    def prefixes(self) -> tuple[str, ...]:
        return tuple(f"{outer}quantizers.{self.stage}." for outer in ("quantizer.", ""))

    def check_model(self, keys: Iterable[str]) -> None:
        """Every model with these keys is as good as its own."""

    def build(self, state: State) -> Quantizer:
        return _stage(state, "", self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, VectorQuantizer)
        return random_keys(quantizer) + self._stage_table(quantizer)


def _stage(state: State, prefix: str, dim: int = -1) -> VectorQuantizer:
    size, width = only(state, f"{prefix}codebook.weight").shape
    return VectorQuantizer(
        len(only(state, f"{prefix}out_proj.bias")),
        size,
        dim=dim,
        code_features=width,
        update=Gradient(),
        metric=Cosine(),
        penalties=(Commitment(0.25), CodebookLoss(1.0)),
    )


def _respelled(key: str) -> str:
    for old, new in _SPELLINGS.items():
        key = key.replace(old, new)
    return key


def _weight(normed: bool) -> Row:
    """The weight (out, in) of a projection that is a convolution of width 1 there."""
    if normed:
        return joined(("weight_g", "weight_v"), ("weight",), _multiplied, _taken_apart)
    return renamed("weight", "weight", lambda t: t.squeeze(-1), lambda t: t.unsqueeze(-1))


def _multiplied(g: Tensor, v: Tensor) -> Tensor:
    g, v = wide(g), wide(v)
    return (v * (g / torch.linalg.vector_norm(v, dim=(1, 2), keepdim=True))).squeeze(-1)


def _taken_apart(weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.linalg.vector_norm(weight, dim=1)[:, None, None], weight.unsqueeze(-1)
