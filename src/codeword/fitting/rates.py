"""What a quantizer costs and gives on vectors: bits, errors and collisions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.fitting.batches import Batches
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.grouped import Grouped
from codeword.quantizers.composite.residual import Residual

__all__ = ["Collisions", "RatePoint", "collisions", "rate_distortion"]


class RatePoint(NamedTuple):
    """What a number of stages costs and gives.

    Attributes:
        stages: how many.
        bits: for each vector, at equally likely codes.
        error: mean squared error of a feature.
        relative: the error over the variance of the vectors.
    """

    stages: int
    bits: float
    error: float
    relative: float


class Collisions(NamedTuple):
    """How many vectors have indices that others have too.

    Attributes:
        vectors: how many there are.
        distinct: how many different indices they have.
        share: of vectors that share theirs with another.
        largest: how many vectors share the most common ones.
    """

    vectors: int
    distinct: int
    share: float
    largest: int


@torch.no_grad()
def rate_distortion(quantizer: Quantizer, vectors: Any, *, beam: int = 1) -> list[RatePoint]:
    """The bits and the error after each stage; one point for a quantizer that has no stages.

    Args:
        quantizer: with features on the last axis.
        vectors: (N, features), as for `fit`.
        beam: of the search through the stages.

    Raises:
        CodewordError: no finite vectors, or a quantizer whose indices do not decode.
    """
    stages = _stages(quantizer)
    errors = torch.zeros(stages, dtype=torch.float64, device="cpu")
    count, squares = 0, 0.0
    sums = torch.zeros(quantizer.features, dtype=torch.float64, device="cpu")
    for rows in Batches(vectors):
        rows = rows[rows.isfinite().all(-1)].to(quantizer.device)
        indices = quantizer.encode(rows, beam=beam) if beam > 1 else quantizer.encode(rows)
        for n in range(stages):
            staged = "stages" in quantizer.call_options
            decoded = quantizer.decode(indices, stages=n + 1) if staged else quantizer.decode(indices)
            difference = decoded - rows
            errors[n] += difference.double().square().sum().cpu()
        count += len(rows)
        sums += rows.double().sum(0).cpu()
        squares += float(rows.double().square().sum())
    if not count:
        raise CodewordError.of("finite vectors", "none", "pass at least one")
    variance = squares - float(sums.square().sum()) / count
    return [
        RatePoint(
            n + 1,
            _bits(quantizer, n + 1),
            float(errors[n]) / count / quantizer.features,
            float(errors[n]) / max(variance, 1e-300),
        )
        for n in range(stages)
    ]


def collisions(indices: Tensor, trailing: int = 1) -> Collisions:
    """How many vectors have the same indices: what semantic IDs must tell apart otherwise.

    Args:
        indices: (..., Q) of a quantizer with `trailing` axes of its own; 0 axes for one index a vector. Masked
            vectors (-1 throughout) are left out.

    Examples:
        >>> collisions(torch.tensor([[0, 1], [0, 1], [2, 3], [-1, -1]]))
        Collisions(vectors=3, distinct=2, share=0.666..., largest=2)
    """
    rows = indices.reshape(math.prod(indices.shape[: indices.ndim - trailing]), -1)
    rows = rows[(rows >= 0).any(1)]
    if not len(rows):
        return Collisions(0, 0, 0.0, 0)
    counts = rows.unique(dim=0, return_counts=True)[1]
    alone = int((counts == 1).sum())
    return Collisions(len(rows), len(counts), 1 - alone / len(rows), int(counts.max()))


def _stages(quantizer: Quantizer) -> int:
    if isinstance(quantizer, Residual):
        return quantizer.count
    return _stages(quantizer.components[0]) if isinstance(quantizer, Grouped) else 1


def _bits(quantizer: Quantizer, stages: int) -> float:
    """log2 of the number of codes of the first stages."""
    if isinstance(quantizer, Residual):
        return sum(_bits(part, _stages(part)) for part in quantizer.components[:stages])
    if isinstance(quantizer, Grouped):
        return sum(_bits(part, stages) for part in quantizer.components)
    return sum(math.log2(size) for size in quantizer.codebook_sizes)
