"""Codebooks from vectors alone, without a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle, islice
from typing import Any, Literal, NamedTuple, TypeGuard, cast

import torch
from torch import Tensor

from codeword.axes import Metric
from codeword.errors import CodewordError
from codeword.fitting.batches import Batches
from codeword.fitting.entropy_constrained import entropy_constrained
from codeword.fitting.networks import train_networks_
from codeword.fitting.refine import Find, Vectors
from codeword.fitting.rotation import optimal_rotation, turn
from codeword.fitting.stages import fit_stages, split
from codeword.functional import PrincipalComponents, kmeans, nearest, progressive_kmeans
from codeword.functional.kmeans import draw_rows
from codeword.functional.weights import check_clustering, weighted
from codeword.metrics import Cosine, EntropyConstrained, Euclidean
from codeword.quantizers.base import Quantizer
from codeword.quantizers.catalogue import from_spec
from codeword.quantizers.composite.additive import Additive
from codeword.quantizers.composite.base import Composite
from codeword.quantizers.composite.beam import beam_search
from codeword.quantizers.composite.grouped import Grouped
from codeword.quantizers.composite.qinco import QINCo
from codeword.quantizers.composite.residual import Residual
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["Fitter", "Plan", "fit", "fit_", "plain_stages"]


_EPOCHS = 20
_MOST, _LEAST = 1024, 64  # vectors a code that stages are fitted to, if there are so many
_MOST_ROWS = 2**20  # with more of them than this there are as few as 64 a code


class Plan(NamedTuple):
    """The options of `fit`."""

    steps: int
    tries: int
    beam: int
    seed: int
    held_out: float
    weights: Tensor | None = None
    epochs: int = _EPOCHS

    def after(self, number: int) -> Plan:
        """The plan for one of several codebooks: its own draws."""
        return self._replace(seed=self.seed + number)


def fit(
    vectors: Any,
    spec: str,
    *,
    steps: int = 100,
    tries: int = 3,
    beam: int = 1,
    epochs: int = _EPOCHS,
    weights: Tensor | None = None,
    held_out: float = 0.05,
    seed: int = 0,
) -> Quantizer:
    """A quantizer fitted to vectors, in eval: codebooks by k-means and least squares, and networks if it has any.

    Each group is fitted to its features. A single codebook is the best of several k-means: the first in growing numbers
    of principal components, the others from k-means++. Stages of a residual quantizer are fitted one after another, in
    growing numbers of components, to the residuals of the five best partial sums of each vector, which weigh less the
    larger their errors are. Then all stages are fitted together: up to ten times a search of all vectors and least
    squares for the codes of all stages. Vectors that are left out decide which weights are used, and which of these
    rounds is the last. Additive codes start from the stages of a residual quantizer and use their own search. The
    networks of `qinco` are then trained by gradient, with the codes.

    With `EntropyConstrained`, `vq256,entropy_constrained(0.5)`, a joint descent of error and entropy follows the
    k-means of each codebook.

    An array or a stream is read in batches, up to `tries` x `steps` times for a codebook, with one batch in memory.
    Stages are fitted to a random 1,024 vectors a code, which are in memory, five times; for a rotation all vectors are.

    Args:
        vectors: (N, features), a tensor, an array or a memory-mapped array; or something that yields such tensors
            whenever it is iterated (a list, a loader; not a generator). The codes are on the device of the first.
        spec: of vector quantizers and those made of them, without projections: `vq1024`, `rvq4x256`, stages of several
            sizes `rvq(vq1024|vq256|vq64)`, `gvq8x256`, `gvq2x(rvq4x256)`; `gvq8x256,projected=true`, with a rotation
            before it (OPQ); `avq4x256`, additive; `qinco4x256`, with networks. `vq1024,cosine` is fitted by spherical
            k-means: a code has the direction of the normalised mean of its vectors, and the length that is nearest to
            theirs, or 1 with `cosine(unit=true)`.
        steps: Lloyd steps at most, of a k-means.
        tries: the number of k-means runs for each codebook, or of stacks of stages. The first stack weighs a partial
            sum of error e with (e_min / e)^2, the second with power 1, the third with power 12; with beam 1 the third
            continues one sum alone.
        beam: the beam of later calls of `encode`; the stages are fitted for it. `avq` has its own, in its spec.
        epochs: passes over the vectors that train the networks of `qinco`.
        weights: (N,), floating, one for each vector in the order in which they come: one of weight 2 counts as two, one
            of weight 0 is left out; default all ones.
        held_out: the share of vectors to judge stages by. With 0 they are judged by the vectors they are fitted to:
            for vectors that are known, such as a catalogue.
        seed: decides every draw.

    Raises:
        CodewordError: vectors that are no matrix, fewer of them than codes, or a spec that k-means does not fit.

    Source: Jegou et al. 2011 (product quantization); Chen et al. 2010, "Approximate nearest neighbor search by
    residual vector quantization"; `codeword.functional.progressive_kmeans`; Babenko and Lempitsky 2014, "Additive
    quantization".

    Examples:
        >>> vectors = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> quantizer = fit(vectors, "rvq2x16", beam=4)
        >>> quantizer.encode(vectors, beam=4).shape
        torch.Size([500, 2])
    """
    batches = Batches(vectors)
    first = batches.first()
    quantizer = from_spec(spec, features=first.shape[1]).to(first.device)
    check_clustering(weights, "euclidean")
    if not 0 <= held_out < 1:
        raise CodewordError.of("held_out from 0 to below 1", repr(held_out), "0.05 judges by a twentieth")
    fit_(quantizer, batches, Plan(steps, tries, beam, seed, held_out, weights, epochs))
    return quantizer.eval()


class Fitter:
    """Who clusters: this process alone."""

    def best(self, batches: Batches, size: int, plan: Plan) -> Tensor:
        """The codes of the best of some k-means, of a codebook by itself."""
        return _best(batches, size, plan)

    def stages(
        self, sizes: list[int], batches: Batches, plan: Plan, find: Find, prefixes: bool
    ) -> list[Tensor]:
        """The codes of all stages of these sizes, searched by `find`."""
        fitted, judges = _vectors(batches, sizes, plan)
        return fit_stages(
            fitted,
            judges,
            sizes,
            find,
            steps=plan.steps,
            powers=list(islice(cycle((2, 1, math.inf if plan.beam == 1 else 12)), plan.tries)),
            seed=plan.seed,
            prefixes=prefixes,
        )


ALONE = Fitter()


@torch.no_grad()
def fit_(quantizer: Quantizer, batches: Batches, plan: Plan, fitter: Fitter = ALONE) -> None:
    """Fit the codebooks of a quantizer in place; see `fit`."""
    if isinstance(quantizer, Composite) and quantizer.shared:
        raise _unfit(quantizer)
    if isinstance(quantizer, QINCo | Additive) and fitter is not ALONE:
        raise _unfit(quantizer)
    if fitter is ALONE and _is_rotated(quantizer):
        batches = batches.seen(_rotate_(quantizer, batches, plan))
    elif quantizer.project_in is not None:
        raise _unfit(quantizer)
    if isinstance(quantizer, Grouped):
        for number, group in enumerate(quantizer.components):
            columns = slice(number * group.features, (number + 1) * group.features)
            fit_(group, batches.seen(_columns(columns)), plan.after(number), fitter)
    elif isinstance(quantizer, Residual | Additive):
        _fit_stages_(quantizer, batches, plan, fitter)
        if isinstance(quantizer, QINCo):
            vectors = _vectors(batches, list(quantizer.codebook_sizes), plan)
            train_networks_(quantizer, *vectors, plan.epochs, plan.seed)
    elif _is_plain(quantizer):
        quantizer.codebook.init_from_(fitter.best(batches, quantizer.codebook_size, plan))
    elif fitter is ALONE and _is_plain(quantizer, Cosine):
        quantizer.codebook.init_from_(_spherical(batches, quantizer, plan))
    elif fitter is ALONE and _is_plain(quantizer, EntropyConstrained):
        codes = _best(batches, quantizer.codebook_size, plan)
        metric = cast(EntropyConstrained, quantizer.metric)
        found = entropy_constrained(codes, batches.read(), metric, plan.steps, plan.weights)
        quantizer.codebook.init_from_(*found)
    else:
        raise _unfit(quantizer)


def _fit_stages_(quantizer: Residual | Additive, batches: Batches, plan: Plan, fitter: Fitter) -> None:
    plain = [stage for stage in quantizer.components if _is_plain(stage)]
    if len(plain) < quantizer.count:
        for number, stage in enumerate(quantizer.components):
            fit_(stage, batches, plan.after(number), fitter)
            batches = batches.seen(_residuals_of(stage))
        return
    sizes = [stage.codebook_size for stage in plain]
    if isinstance(quantizer, Additive):
        books = fitter.stages(sizes, batches, plan, quantizer.search, prefixes=False)
    else:
        books = fitter.stages(sizes, batches, plan, partial(beam_search, beam=plan.beam), prefixes=True)
    for stage, book in zip(plain, books, strict=True):
        stage.codebook.init_from_(book)


def _vectors(batches: Batches, sizes: list[int], plan: Plan) -> tuple[Vectors, Vectors]:
    """Some vectors for stages of these sizes, in memory, to fit to and to judge by: at every call the same."""
    most = min(_MOST * max(sizes), max(_MOST_ROWS, _LEAST * max(sizes)))
    vectors = Vectors(*draw_rows(batches.read(), most, plan.weights, plan.seed))
    return split(vectors, plan.held_out, max(sizes))


def _is_rotated(quantizer: Quantizer) -> TypeGuard[Grouped]:
    """Whether a rotation comes before its groups, each with a codebook."""
    if not isinstance(quantizer, Grouped) or not quantizer.projected:
        return False
    return quantizer.features == quantizer.code_features and all(map(_is_plain, quantizer.components))


def _rotate_(quantizer: Grouped, batches: Batches, plan: Plan) -> Callable[[Tensor], Tensor]:
    """Make the projections a rotation there and back, and give it."""
    sizes = [group.codebook_sizes[0] for group in quantizer.components]
    rotation = optimal_rotation(batches.read(), sizes, plan.weights, plan.seed)
    assert quantizer.project_in is not None
    assert quantizer.project_out is not None
    for layer, matrix in ((quantizer.project_in, rotation), (quantizer.project_out, rotation.T)):
        layer.weight.copy_(matrix)
        layer.bias.zero_()
    return lambda rows: turn(rows, rotation)


def _best(batches: Batches, size: int, plan: Plan) -> Tensor:
    """The codes of the best of some k-means: a progressive one, the others from k-means++."""
    rows = batches.read()
    components = PrincipalComponents(rows)

    def candidates() -> Iterator[Tensor]:
        for number in range(plan.tries):
            seed = plan.tries * plan.seed + number
            if number > 0:
                yield kmeans(rows, size, steps=plan.steps, start="k-means++", weights=plan.weights, seed=seed)
            else:
                yield progressive_kmeans(components, size, steps=plan.steps, weights=plan.weights, seed=seed)

    return min(candidates(), key=lambda codes: _error(rows, codes, plan.weights, "euclidean"))


def _spherical(batches: Batches, quantizer: VectorQuantizer, plan: Plan) -> Tensor:
    """The codes of the best of some spherical k-means, as long as is best for what they stand for."""
    rows, size, weights = batches.read(), quantizer.codebook_size, plan.weights
    found = (
        kmeans(
            rows,
            size,
            steps=plan.steps,
            start="k-means++",
            weights=weights,
            metric="cosine",
            seed=plan.tries * plan.seed + number,
        )
        for number in range(plan.tries)
    )
    codes = min(found, key=lambda codes: _error(rows, codes, weights, "cosine"))
    if isinstance(quantizer.metric, Cosine) and quantizer.metric.unit:
        return codes
    counts, lengths = (codes.new_zeros(size, dtype=torch.float64) for _ in range(2))
    for batch, own in weighted(rows, weights):
        chosen = nearest(batch, codes, metric="cosine")
        along = torch.where(own > 0, (batch * codes[chosen]).sum(1), 0)
        counts.index_add_(0, chosen, own)
        lengths.index_add_(0, chosen, own * along)
    return codes * (lengths / counts.clamp_min(torch.finfo(counts.dtype).tiny))[:, None].to(codes.dtype)


def _error(
    rows: Iterable[Tensor], codes: Tensor, weights: Tensor | None, metric: Literal["euclidean", "cosine"]
) -> float:
    """The sum over rows of the distance to the nearest code."""
    total = codes.new_zeros((), dtype=torch.float64)
    for batch, own in weighted(rows, weights):
        errors = nearest(batch, codes, metric=metric, return_distances=True)[1]
        total += torch.where(errors.isfinite(), errors * own, 0).sum(dtype=torch.float64)
    return float(total)


def _is_plain(quantizer: Quantizer, metric: type[Metric] = Euclidean) -> TypeGuard[VectorQuantizer]:
    """Whether it is a codebook that k-means fits."""
    return (
        isinstance(quantizer, VectorQuantizer)
        and quantizer.project_in is None
        and isinstance(quantizer.metric, metric)
        and quantizer.codebook.transform is None
    )


def plain_stages(quantizer: Quantizer) -> list[VectorQuantizer] | None:
    """The codebooks of a vector quantizer or of the stages of a residual one, if k-means fits them all."""
    if quantizer.project_in is not None or (isinstance(quantizer, Residual) and quantizer.shared):
        return None
    parts = list(quantizer.components) if isinstance(quantizer, Residual) else [quantizer]
    plain = [part for part in parts if _is_plain(part)]
    return plain if len(plain) == len(parts) else None


def _residuals_of(stage: Quantizer) -> Callable[[Tensor], Tensor]:
    return lambda rows: rows - stage.decode(stage.encode(rows), rows.dtype)


def _columns(columns: slice) -> Callable[[Tensor], Tensor]:
    return lambda rows: rows[:, columns].contiguous()


def _unfit(quantizer: Quantizer) -> CodewordError:
    return CodewordError.of(
        "vector quantizers with the Euclidean metric (or cosine, or entropy_constrained), and residual or grouped ones",
        quantizer.spec,
        "k-means fits codebooks alone: leave out projections, transforms and shared codebooks, or train it",
    )
