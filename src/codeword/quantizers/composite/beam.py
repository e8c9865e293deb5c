"""Beam search through the stages of a residual quantizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Prepared, prepare, search
from codeword.functional.blocked import split_rows
from codeword.kernels.nearest.blocked import widened
from codeword.kernels.nearest.prepare import prepare as plain
from codeword.metrics import Euclidean
from codeword.quantizers.base import Quantizer
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["beam_search", "codes_of", "continued", "of_beams"]

_NUMBERS = 2**20  # at once: 4 MiB in float32


def beam_search(rows: Tensor, books: Sequence[Tensor], beam: int) -> Tensor:
    """The indices (N, stages) of the best sum of one code a stage that keeping `beam` partial sums finds.

    Each of the partial sums is continued by its `beam` nearest codes, and of all those the `beam` nearest to the row
    are kept. Memory is O(N + K) beside a bounded scratch.

    Tables of the products of codes of different stages could replace products with the residual. They are not used:
    they are faster only at 256 codes and many features, and the residual becomes a small difference of large numbers;
    see docs/performance.md.

    Args:
        rows: (N, D).
        books: the codes (K, D) of each stage.
        beam: how many partial sums to keep; 1 is the search of one stage after another.

    Source: Babenko and Lempitsky 2014, "Additive quantization"; in residual stacks Faiss's ResidualQuantizer.
    """
    if beam == 1:
        return _one_after_another(rows, books)
    stages = [(codes, widened(plain(codes, "euclidean"))) for codes in books]
    largest = max(len(codes) for codes in books)
    block = max(1, _NUMBERS // (beam * max(largest, rows.shape[1])))
    return torch.cat([_search(part, stages, beam) for part in split_rows(rows, block)])


def _one_after_another(rows: Tensor, books: Sequence[Tensor]) -> Tensor:
    found = []
    for codes in books:
        found.append(search(rows, prepare(codes)))
        rows = rows - codes[found[-1]]
    return torch.stack(found, 1)


def _search(rows: Tensor, stages: Sequence[tuple[Tensor, Prepared]], beam: int) -> Tensor:
    residuals = rows[:, None]  # (N, beams, D): the residual of each partial sum
    paths = rows.new_zeros(rows.shape[0], 1, 0, dtype=torch.int64)
    for codes, prepared in stages:
        residuals, source, index = _step(residuals, codes, prepared, beam)
        paths = torch.cat([of_beams(paths, source), index[..., None]], 2)
    best = residuals.square().sum(-1).argmin(1)
    return paths[torch.arange(paths.shape[0], device=paths.device), best]


def continued(residuals: Tensor, codes: Tensor, beam: int) -> Tensor:
    """The residuals (N, B, D) after one more stage, of the `beam` best of all partial sums and codes (K, D).

    Args:
        residuals: (N, A, D), of A partial sums.
        codes: of the stage.
        beam: how many partial sums to keep; there are fewer only if A x K are.
    """
    if beam == residuals.shape[1] == 1:
        return residuals - codes[search(residuals[:, 0], prepare(codes))][:, None]
    prepared = widened(plain(codes, "euclidean"))
    block = max(1, _NUMBERS // (residuals.shape[1] * max(len(codes), residuals.shape[2])))
    return torch.cat([_step(part, codes, prepared, beam)[0] for part in residuals.split(block)])


def _step(residuals: Tensor, codes: Tensor, prepared: Prepared, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """The residuals of the best partial sums, which ones they continue, and by which codes."""
    scores = _scores(residuals, prepared).flatten(1)
    best = scores.topk(min(beam, scores.shape[1])).indices
    source, index = best // len(codes), best % len(codes)
    return of_beams(residuals, source) - codes[index], source, index


def of_beams(values: Tensor, beams: Tensor) -> Tensor:
    """The values (N, A, D) at some of A beams (N, B): (N, B, D)."""
    return values.gather(1, beams[..., None].expand(-1, -1, values.shape[2]))


def _scores(residuals: Tensor, prepared: Prepared) -> Tensor:
    """-|x - c|^2 / 2 (N, beams, K), with the arithmetic of the search for one nearest code."""
    rows = residuals.flatten(0, 1) - prepared.shift
    scores = torch.addmm(prepared.offsets, rows, prepared.codes.mT)  # with |x|^2 / 2 more
    scores = scores.sub_(rows.square().sum(-1, keepdim=True) / 2)
    return scores.view(*residuals.shape[:2], len(prepared.codes))


def codes_of(stage: Quantizer) -> Tensor:
    """The codes (K, D) of a stage that can be searched with beams.

    Raises:
        CodewordError: not a vector quantizer with the Euclidean metric and without projections.
    """
    if (
        isinstance(stage, VectorQuantizer)
        and stage.project_in is None
        and isinstance(stage.metric, Euclidean)
    ):
        return stage.codebook.searched()
    raise CodewordError.of(
        "stages that are vector quantizers with the Euclidean metric and no projections, for a search with beams",
        stage.spec,
        "leave out beam=, or put code_features on the stack",
    )
