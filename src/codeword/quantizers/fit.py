"""Codebooks from vectors alone, without a network: k-means, stage by stage and group by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import kmeans
from codeword.parts import Euclidean
from codeword.quantizers.base import Quantizer
from codeword.quantizers.catalogue import from_spec
from codeword.quantizers.composite import Composite
from codeword.quantizers.grouped import Grouped
from codeword.quantizers.implicit import Implicit
from codeword.quantizers.residual import Residual
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["Collisions", "RatePoint", "collisions", "fit", "rate_distortion"]

_ROWS = 2**16  # of a matrix at once


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
def fit(vectors: Any, spec: str, *, steps: int = 25, seed: int = 0) -> Quantizer:
    """A quantizer with codebooks fitted to vectors by k-means, in eval.

    Stages of a residual quantizer are fitted one after another to what the stages before leave over, groups each to
    their features. Of an array or a stream one batch at a time is in memory, and everything is read `steps` + 1 times
    for each stage; of a tensor, what the stages leave over.

    Args:
        vectors: (N, features), a tensor, an array or a memory-mapped array; or something that yields such tensors
            whenever it is iterated (a list, a loader; not a generator).
        spec: of vector quantizers and residual and grouped ones of them, with the Euclidean metric and without
            projections: `vq1024`, `rvq4x256`, `gvq8x256`, `gvq2x(rvq4x256)`.
        steps: Lloyd steps for each codebook.
        seed: decides every draw.

    Raises:
        CodewordError: vectors that are no matrix, fewer of them than codes, or a spec that k-means does not fit.

    Source: Jegou et al. 2011 (product quantization); Chen et al. 2010, "Approximate nearest neighbor search by
    residual vector quantization".

    Example:
        >>> vectors = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> quantizer = fit(vectors, "rvq2x16")
        >>> [point.stages for point in rate_distortion(quantizer, vectors)]
        [1, 2]
        >>> quantizer.encode(vectors).shape
        torch.Size([500, 2])
    """
    batches = _Batches(vectors)
    quantizer = from_spec(spec, features=batches.features())
    _fit_(quantizer, batches, steps, seed)
    return quantizer.eval()


@torch.no_grad()
def rate_distortion(quantizer: Quantizer, vectors: Any) -> list[RatePoint]:
    """The bits and the error after each stage; one point for a quantizer that has no stages.

    Args:
        quantizer: with features on the last axis.
        vectors: (N, features), as for `fit`.

    Raises:
        CodewordError: no finite vectors, or a quantizer whose indices do not decode.
    """
    stages = _stages(quantizer)
    errors = torch.zeros(stages, dtype=torch.float64)
    count, squares = 0, 0.0
    sums = torch.zeros(quantizer.features, dtype=torch.float64)
    for rows in _Batches(vectors):
        rows = rows[rows.isfinite().all(-1)].to(quantizer.device)
        indices = quantizer.encode(rows)
        for n in range(stages):
            staged = "stages" in quantizer.choices
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

    Example:
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


class _Batches:
    """Vectors as batches (N, D), read anew at each iteration, seen through a function of each batch."""

    def __init__(self, vectors: Any, view: Callable[[Tensor], Tensor] = lambda rows: rows) -> None:
        if isinstance(vectors, Iterator) or not (hasattr(vectors, "shape") or isinstance(vectors, Iterable)):
            raise CodewordError.of(
                "a matrix, or batches that can be read again",
                type(vectors).__name__,
                "pass a tensor, an array, a list of tensors or a data loader",
            )
        self.vectors = vectors
        self.view = view

    def __iter__(self) -> Iterator[Tensor]:
        for rows in self._parts():
            if rows.ndim != 2 or not rows.is_floating_point():
                raise CodewordError.of(
                    "floating-point vectors (N, features)",
                    f"{rows.dtype} of shape {tuple(rows.shape)}",
                    "convert and reshape them",
                )
            yield self.view(rows)

    def _parts(self) -> Iterator[Tensor]:
        if not hasattr(self.vectors, "shape"):
            yield from self.vectors
            return
        for start in range(0, self.vectors.shape[0], _ROWS):
            part = self.vectors[start : start + _ROWS]
            yield part.detach() if isinstance(part, Tensor) else torch.tensor(part)

    def seen(self, view: Callable[[Tensor], Tensor]) -> _Batches:
        """The same vectors through one more function; those that are in memory anyway are computed once."""
        if isinstance(self.vectors, Tensor):
            return _Batches(torch.cat([view(rows) for rows in self]))
        return _Batches(self.vectors, lambda rows: view(self.view(rows)))

    def features(self) -> int:
        """The size of a vector."""
        for rows in self:
            return rows.shape[1]
        raise CodewordError.of("vectors", "none", "pass at least as many as there are codes")


def _fit_(quantizer: Quantizer, batches: _Batches, steps: int, seed: int) -> None:
    if quantizer.project_in is not None or (isinstance(quantizer, Composite) and quantizer.shared):
        raise _unfit(quantizer)
    if isinstance(quantizer, Residual):
        for number, stage in enumerate(quantizer.parts):
            _fit_(stage, batches, steps, seed + number)
            batches = batches.seen(_left_by(stage))
    elif isinstance(quantizer, Grouped):
        for number, group in enumerate(quantizer.parts):
            columns = slice(number * group.features, (number + 1) * group.features)
            _fit_(group, batches.seen(_columns(columns)), steps, seed + number)
    elif isinstance(quantizer, VectorQuantizer) and isinstance(quantizer.metric, Euclidean):
        if quantizer.codebook.transform is not None:
            raise _unfit(quantizer)
        codes = kmeans(batches, quantizer.codebook_size, steps=steps, seed=seed)
        quantizer.codebook.start_from_(codes)
    else:
        raise _unfit(quantizer)


def _left_by(stage: Quantizer) -> Callable[[Tensor], Tensor]:
    return lambda rows: rows - stage.gather(stage.look_up(rows))


def _columns(columns: slice) -> Callable[[Tensor], Tensor]:
    return lambda rows: rows[:, columns].contiguous()


def _unfit(quantizer: Quantizer) -> CodewordError:
    return CodewordError.of(
        "vector quantizers with the Euclidean metric, and residual or grouped ones of them",
        quantizer.spec,
        "k-means fits codebooks alone: leave out projections, transforms and shared codebooks, or train it",
    )


def _stages(quantizer: Quantizer) -> int:
    if isinstance(quantizer, Residual):
        return quantizer.count
    return _stages(quantizer.parts[0]) if isinstance(quantizer, Grouped) else 1


def _bits(quantizer: Quantizer, stages: int) -> float:
    """log2 of the number of codes of the first stages."""
    if isinstance(quantizer, Residual):
        return sum(_bits(part, _stages(part)) for part in quantizer.parts[:stages])
    if isinstance(quantizer, Grouped):
        return sum(_bits(part, stages) for part in quantizer.parts)
    if isinstance(quantizer, VectorQuantizer | Implicit):
        return math.log2(quantizer.codebook_size)
    return float(sum(quantizer.index_shape))  # one bit an index
