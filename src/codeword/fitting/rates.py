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

__all__ = ["Collisions", "Distortion", "RatePoint", "collisions", "rate_distortion"]


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
    found = Distortion(quantizer, beam)
    for rows in Batches(vectors):
        found.add(rows)
    return found.points()


class Distortion:
    """Errors after each stage, summed over vectors that come in parts.

    Args:
        quantizer: with features on the last axis.
        beam: of the search through the stages.
    """

    def __init__(self, quantizer: Quantizer, beam: int = 1) -> None:
        self.quantizer, self.beam, self.stages = quantizer, beam, _stages(quantizer)
        size = self.stages + 2 + quantizer.features
        self.sums = torch.zeros(size, dtype=torch.float64, device="cpu")
        """The errors of each stage, the number of vectors, the sum of their squares, the sums of each feature."""

    @torch.no_grad()
    def add(self, rows: Tensor, indices: Tensor | None = None) -> None:
        """Add vectors (N, features), with their indices if they are known."""
        rows = rows[rows.isfinite().all(-1)].to(self.quantizer.device)
        if indices is None:
            encode = self.quantizer.encode
            indices = encode(rows, beam=self.beam) if self.beam > 1 else encode(rows)
        staged = "stages" in self.quantizer.call_options
        for n in range(self.stages):
            decoded = (
                self.quantizer.decode(indices, stages=n + 1) if staged else self.quantizer.decode(indices)
            )
            self.sums[n] += (decoded - rows).double().square().sum().cpu()
        self.sums[self.stages] += len(rows)
        self.sums[self.stages + 1] += rows.double().square().sum().cpu()
        self.sums[self.stages + 2 :] += rows.double().sum(0).cpu()

    def points(self) -> list[RatePoint]:
        """Bits and errors.

        Raises:
            CodewordError: no finite vectors.
        """
        errors, (count, squares) = self.sums[: self.stages], self.sums[self.stages : self.stages + 2].tolist()
        if not count:
            raise CodewordError.of("finite vectors", "none", "pass at least one")
        variance = squares - float(self.sums[self.stages + 2 :].square().sum()) / count
        return [
            RatePoint(
                n + 1,
                _bits(self.quantizer, n + 1),
                float(errors[n]) / count / self.quantizer.features,
                float(errors[n]) / max(variance, 1e-300),
            )
            for n in range(self.stages)
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
