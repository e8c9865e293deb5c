"""Beam search through the stages of a residual quantizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import nearest
from codeword.parts import Euclidean
from codeword.quantizers.base import Quantizer
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["beam_search", "codes_of"]

_NUMBERS = 2**24  # of partial sums at once: 64 MiB in float32


def beam_search(rows: Tensor, books: Sequence[Tensor], beam: int) -> Tensor:
    """The indices (N, stages) of the best sum of one code a stage that keeping `beam` partial sums finds.

    Each of the partial sums is continued by its `beam` nearest codes, and of all those the `beam` nearest to the row
    are kept. Memory is O(N + K) beside a bounded scratch.

    Args:
        rows: (N, D).
        books: the codes (K, D) of each stage.
        beam: how many partial sums to keep; 1 is the search of one stage after another.

    Source: Babenko and Lempitsky 2014, "Additive quantization"; in residual stacks Faiss's ResidualQuantizer.
    """
    block = max(1, _NUMBERS // (beam * rows.shape[1]))
    return torch.cat([_search(part, books, beam) for part in rows.split(block)])


def _search(rows: Tensor, books: Sequence[Tensor], beam: int) -> Tensor:
    left = rows[:, None]  # (N, beams, D): what each partial sum leaves over
    paths = rows.new_zeros(rows.shape[0], 1, 0, dtype=torch.int64)
    for codes in books:
        found, distances = _continuations(left, codes, min(beam, len(codes)))
        best = distances.flatten(1).sort(stable=True).indices[:, :beam]
        source = best // found.shape[2]
        index = found.flatten(1).gather(1, best)
        left = left.gather(1, source[..., None].expand(-1, -1, left.shape[2])) - codes[index]
        paths = torch.cat(
            [paths.gather(1, source[..., None].expand(-1, -1, paths.shape[2])), index[..., None]], 2
        )
    return paths[:, 0]


def _continuations(left: Tensor, codes: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest codes of each partial sum and their squared distances, both (N, beams, k)."""
    rows, beams, features = left.shape
    found, distances = nearest(left.reshape(rows * beams, features), codes, k=k, return_distances=True)
    return found.view(rows, beams, k), distances.view(rows, beams, k)


def codes_of(stage: Quantizer) -> Tensor:
    """The codes (K, D) of a stage that can be searched with beams.

    Raises:
        CodewordError: something else than a vector quantizer without projections, nearest meaning Euclidean.
    """
    if (
        not isinstance(stage, VectorQuantizer)
        or stage.project_in is not None
        or not isinstance(stage.metric, Euclidean)
    ):
        raise CodewordError.of(
            "stages that are vector quantizers with the Euclidean metric and no projections, to search with beams",
            stage.spec,
            "leave out beam=, or put code_features on the stack",
        )
    return stage.codebook.searched()
