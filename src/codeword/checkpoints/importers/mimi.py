"""Mimi: two residual stacks beside each other, each with its own projections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from codeword.checkpoints.importers.library import (
    Library,
    codebook_table,
    count_of,
    flag,
    residual_table,
    wide,
)
from codeword.checkpoints.importers.table import KeyTable, State, joined, made, renamed
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, Residual, VectorQuantizer
from codeword.updates import EMA

__all__ = ["Mimi"]

_MOSHI = {  # the spelling of its own repository
    "vq.layers.": "layers.",
    "._codebook.": ".codebook.",
    ".codebook._initialized": ".codebook.initialized",
    ".codebook.embedding_sum": ".codebook.embed_sum",
}
_SMALLEST = 1e-5  # count that sums are divided by


@dataclass(frozen=True)
class Mimi(Library):
    """One of the two stacks of Mimi, in the spelling of transformers or of moshi.

    Mimi quantizes one and the same input by a semantic and an acoustic stack, each with projections of its own, and
    adds what they decode to. No quantizer here is the sum of two with different numbers of stages, so each stack
    becomes one: `semantic.decode(i) + acoustic.decode(j)` is what Mimi decodes. Given back in transformers' spelling.

    Args:
        stack: "semantic" or "acoustic".
        decay: of the moving average, should training go on.
        dim: the axis of the features: 1, as its models have it.

    Source: Defossez et al. 2024 (arXiv:2410.00037).
    """

    stack: str = "semantic"
    decay: float = 0.99
    dim: int = 1

    def __post_init__(self) -> None:
        if self.stack not in ("semantic", "acoustic"):
            raise CodewordError.of(
                'stack="semantic" or "acoustic"', repr(self.stack), "convert one, then the other"
            )

    def prefixes(self) -> tuple[str, ...]:
        own = f"{self.stack}_residual_vector_quantizer."
        moshi = "rvq_first." if self.stack == "semantic" else "rvq_rest."
        return tuple(f"{outer}{place}" for place in (own, moshi) for outer in ("quantizer.", ""))

    def respell(self, state: State) -> State:
        return {_respelled(key): tensor for key, tensor in state.items()}

    def build(self, state: State) -> Quantizer:
        count = count_of(state, "layers.{}.codebook.embed_sum")
        wide = state.get("output_proj.weight")
        stages = []
        for stage in range(count):
            size, width = state[f"layers.{stage}.codebook.embed_sum"].shape
            stages.append(VectorQuantizer(width, size, update=EMA(decay=self.decay)))
        return Residual(stages, features=None if wide is None else len(wide), dim=self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        table = residual_table(quantizer, "layers.{}.", _stage_table)
        for foreign, native in (("input_proj.", "project_in."), ("output_proj.", "project_out.")):
            layer: Any = getattr(quantizer, native[:-1])
            if layer is not None:
                weight = renamed("weight", "weight", lambda t: t.squeeze(-1), lambda t: t.unsqueeze(-1))
                bias = made("bias", partial(torch.zeros_like, layer.bias))  # there it has none
                table += KeyTable([weight, bias]).under(foreign, native)
        return table


def _stage_table(stage: VectorQuantizer) -> KeyTable:
    rows = [
        renamed("initialized", "initialized", flag, lambda t: t.float().reshape(1)),
        joined(("embed_sum", "cluster_usage"), ("codes", "cluster_size"), _divided, _undivided),
    ]
    return codebook_table(stage.codebook, rows).under("codebook.", "codebook.")


def _divided(sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    return wide(sums) / wide(counts).clamp_min(_SMALLEST)[:, None], counts


def _undivided(codes: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    return codes * counts.clamp_min(_SMALLEST)[:, None], counts


def _respelled(key: str) -> str:
    for old, new in _MOSHI.items():
        key = key.replace(old, new)
    return key
