"""k-means on the exact search: Lloyd steps for layers, and the whole of it for vectors that may not fit in
memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional.nearest import nearest, prepare, search
from codeword.functional.random import Key, Purpose
from codeword.functional.segment_sum import wide_segment_sum
from codeword.functional.weights import check_clustering, finite_rows, misfit, weights_of
from codeword.kernels.nearest.prepare import unit

__all__ = ["draw_rows", "kmeans", "lloyd"]

PLUS_PLUS_ROWS_PER_CODE = 64
PLUS_PLUS_DISTANCES = 2**30  # fewer rows a code where there would be more


def lloyd(rows: Tensor, codes: Tensor, *, steps: int = 10, weights: Tensor | None = None) -> Tensor:
    """Improve codes by plain Lloyd steps: each code becomes the mean of the rows nearest to it.

    Codes without rows move to rows, at equal steps of the running sum of squared errors: many go where rows
    are far from their codes. Nothing is drawn and nothing waits for the device, so the result is the same at
    every call.

    Args:
        rows: (..., N, D), floating.
        codes: the start, (..., K, D).
        steps: number of steps.
        weights: (..., N), bool or floating; default all ones. Weight 0 leaves a row out, NaN or not.

    Returns:
        the codes after the last step, like `codes` (float32 or wider).

    Examples:
        >>> rows = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> lloyd(rows, torch.tensor([[0.0], [1.0]]), steps=4).flatten().tolist()
        [0.5, 10.5]
    """
    codes = codes.detach().to(torch.promote_types(codes.dtype, torch.float32))
    for _ in range(steps):
        indices = _nearest_of(rows, codes)
        counts, sums = wide_segment_sum(rows, indices, codes.shape[-2], weights)
        codes = _moved(codes, counts, sums, _donors(rows, codes, indices, weights))
    return codes


def kmeans(
    rows: Tensor | Iterable[Tensor],
    codebook_size: int,
    *,
    steps: int = 10,
    start: Literal["sample", "k-means++"] | Tensor = "sample",
    weights: Tensor | None = None,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    seed: int = 0,
) -> Tensor:
    """Cluster vectors, which may be a stream larger than memory: it is read once for the start and once for
    each step.

    A non-finite row is left out. At any time one batch, and a few tensors of the size of the codebook, are
    in memory.

    Args:
        rows: (..., N, D), floating, each leading index a clustering of its own; or something that yields
            batches of that form whenever it is iterated (a list, a loader; not a generator, which can be
            read once only).
        codebook_size: number of codes K, at most the number of rows.
        steps: number of Lloyd steps at most; fewer, when one has changed nothing.
        start: "sample", K different rows drawn at random; or "k-means++" (Arthur and Vassilvitskii, 2007),
            which draws rows in turn with probability proportional to their squared distance from those drawn
            before: a better start, but sequential (minutes at K = 65,536), on a sample of at most 64 rows a
            code and 2^30 distances; or the codes (..., K, D) to begin with.
        weights: (..., N) of all rows, of all batches one after another, floating and finite, none below 0: a
            row of weight 2 counts as two, one of weight 0 is left out; default all ones.
        metric: "euclidean"; or "cosine", spherical k-means (Dhillon and Modha, 2001): rows are normalised,
            and codes are the normalised means of their rows. A row of zeros is left out.
        seed: decides every draw.

    Returns:
        codes (..., K, D), float32 or wider; of unit length with "cosine".

    Raises:
        CodewordError: fewer rows than codes, batches that can be read only once, or weights that do not fit.

    Examples:
        >>> batches = [torch.tensor([[0.0], [1.0]]), torch.tensor([[10.0], [11.0]])]
        >>> kmeans(batches, 2, start="k-means++").flatten().sort().values.tolist()
        [0.5, 10.5]
        >>> kmeans(batches, 2, start="k-means++", weights=torch.tensor([1.0, 3.0, 1.0, 1.0])).min().item()
        0.75
    """
    check_clustering(weights, metric)
    batches = [rows] if isinstance(rows, Tensor) else rows
    if isinstance(batches, Iterator):
        raise CodewordError.of(
            "batches that can be read again", "an iterator", "pass a list or a data loader"
        )
    ready = _Ready(batches, weights, metric)
    codes = (
        ready.codes(_given(start, codebook_size))
        if isinstance(start, Tensor)
        else _start(ready, codebook_size, start, seed)
    )
    if codes.shape[-2] < codebook_size:
        raise CodewordError.of(
            f"at least {codebook_size} finite rows", f"{codes.shape[-2]}", "pass a smaller codebook_size"
        )
    for _ in range(steps):
        before = codes
        codes = ready.codes(_step(codes, ready))
        if codes.equal(before):
            break
    return codes


def draw_rows(
    batches: Iterable[Tensor], count: int, weights: Tensor | None = None, seed: int = 0
) -> tuple[Tensor, Tensor | None]:
    """`count` different rows (count, D) in random order, or all that there are, and their weights, if there are any.

    Args:
        batches: rows (N, D), floating, read once. A row that is not finite or has weight 0 is left out.
        count: how many, each with the same probability.
        weights: (N,) of all rows, as for `kmeans`.
        seed: decides the draw.
    """
    rows, own = _sample(_Ready(batches, weights, "euclidean"), count, seed, by_weight=False)
    return rows, None if weights is None else own


def _given(start: Tensor, codebook_size: int) -> Tensor:
    if start.dim() < 2 or start.shape[-2] != codebook_size or not start.is_floating_point():
        got = f"{start.dtype} {tuple(start.shape)}"
        raise CodewordError.of(
            f"floating codes (..., {codebook_size}, D) to start from", got, "pass as many as asked"
        )
    return start.detach().to(torch.promote_types(start.dtype, torch.float32))


class _Ready:
    """Batches as float32 or wider, each with which rows count or how much, read anew at each iteration."""

    def __init__(self, batches: Iterable[Tensor], weights: Tensor | None, metric: str) -> None:
        self.batches, self.weights, self.metric = batches, weights, metric

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        done = 0
        for batch in self.batches:
            if not batch.is_floating_point() or batch.dim() < 2:
                raise CodewordError.of(
                    "floating rows (..., N, D)",
                    f"{batch.dtype} {tuple(batch.shape)}",
                    "pass batches of vectors",
                )
            rows = batch.detach().to(torch.promote_types(batch.dtype, torch.float32))
            counted = finite_rows(rows)
            if self.metric == "cosine":
                counted &= (rows != 0).any(-1)
                rows = unit(rows)
            if self.weights is None:
                yield rows, counted
                continue
            done, start = done + rows.shape[-2], done
            yield rows, torch.where(counted, weights_of(self.weights, rows, start), 0)
        if self.weights is not None and done != self.weights.shape[-1]:
            raise misfit(self.weights, f"{done} rows")

    def codes(self, codes: Tensor) -> Tensor:
        """Codes that a step has moved, where the metric has them."""
        return codes if self.metric == "euclidean" else unit(codes)


class _Donors(NamedTuple):
    """Rows at equal steps of the running error: where it is large, many. Codes without rows move to them."""

    rows: Tensor  # (..., K, D)
    error: Tensor  # (...), of all rows that they stand for, float64

    def joined(self, other: _Donors) -> _Donors:
        """The donors of both sets of rows."""
        count = self.rows.shape[-2]
        shares = [(part.error / count)[..., None].expand(part.rows.shape[:-1]) for part in (self, other)]
        rows = _spread(torch.cat([self.rows, other.rows], -2), torch.cat(shares, -1), count)
        return _Donors(rows, self.error + other.error)


def _step(codes: Tensor, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The codes after a Lloyd step. Donors are sought only while a code has no rows."""
    counts, sums, donors = None, None, None
    for rows, weights in batches:
        indices = nearest(rows, codes)
        fresh, fresh_sums = wide_segment_sum(rows, indices, codes.shape[-2], weights)
        counts = fresh if counts is None else counts + fresh
        sums = fresh_sums if sums is None else sums + fresh_sums
        if bool((counts == 0).any()):
            found = _donors(rows, codes, indices, weights)
            donors = found if donors is None else donors.joined(found)
    assert counts is not None
    assert sums is not None
    return _moved(codes, counts, sums, donors)


def _nearest_of(rows: Tensor, codes: Tensor) -> Tensor:
    """The nearest codes, in units of the largest code: any magnitude works, without waiting for the device."""
    groups, rows = rows.shape[:-2].numel(), rows.detach().to(codes.dtype)
    largest = codes.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().amax((-2, -1), keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)
    flat = (rows / unit).reshape(groups, *rows.shape[-2:])
    prepared = prepare((codes / unit).reshape(groups, *codes.shape[-2:]))
    return search(flat, prepared).view(rows.shape[:-1])


def _donors(rows: Tensor, codes: Tensor, indices: Tensor, weights: Tensor | None) -> _Donors:
    errors = _errors(rows, codes.gather(-2, indices[..., None].expand(*indices.shape, codes.shape[-1])))
    if weights is not None:
        errors = torch.where(weights != 0, errors * weights, 0)
    errors = torch.where(errors.isfinite(), errors, 0)
    return _Donors(_spread(rows.detach().to(codes.dtype), errors, codes.shape[-2]), errors.sum(-1))


def _errors(rows: Tensor, codes: Tensor) -> Tensor:
    """The squared distances (...) of rows and codes (..., D), in float64, which holds the squares of all float32."""
    return torch.linalg.vector_norm(rows.detach() - codes, dim=-1, dtype=torch.float64).square()


def _spread(rows: Tensor, errors: Tensor, count: int) -> Tensor:
    """`count` rows (..., count, D), one in the middle of each of `count` equal stretches of error."""
    if rows.shape[-2] == 0:
        return rows.new_zeros((*rows.shape[:-2], count, rows.shape[-1]))
    running = errors.cumsum(-1)
    middles = (torch.arange(count, dtype=torch.float64, device=rows.device) + 0.5) / count
    place = torch.searchsorted(running, (middles * running[..., -1:]).contiguous(), right=True)
    place = place.clamp_max(rows.shape[-2] - 1)
    return rows.gather(-2, place[..., None].expand(*place.shape, rows.shape[-1]))


def _moved(codes: Tensor, counts: Tensor, sums: Tensor, donors: _Donors | None) -> Tensor:
    """Each code at the mean of its rows; those without rows spread over the donors, if these have errors."""
    means = (sums / counts[..., None]).to(codes.dtype)
    if donors is None:
        return means
    empty = counts == 0
    codes = torch.where(empty[..., None], codes, means)
    number, size = empty.cumsum(-1), empty.shape[-1]
    place = ((2 * number - 1) * size // (2 * number[..., -1:]).clamp_min(1)).clamp(0, size - 1)
    moves = empty & (donors.error > 0)[..., None]
    return torch.where(moves[..., None], donors.rows.gather(-2, place[..., None].expand_as(codes)), codes)


def _sample(
    batches: Iterable[tuple[Tensor, Tensor]], count: int, seed: int, by_weight: bool
) -> tuple[Tensor, Tensor]:
    """`count` different rows that count (..., count, D), or all there are, and their weights (..., count).

    They are those with the largest hashed keys: u of uniform numbers, or log(u) / w by weight, which draws in turn
    with probability proportional to w (Efraimidis and Spirakis, 2006).
    """
    keys, sample, weights = None, None, None
    for step, (rows, counted) in enumerate(batches):
        fresh = _keys(rows.shape[:-1], seed, step, rows.device)
        if by_weight and counted.dtype != torch.bool:
            fresh = fresh.double().log() / counted
        fresh = torch.where(counted > 0, fresh, -torch.inf)
        if keys is not None and sample is not None and weights is not None:
            fresh, rows = torch.cat([keys, fresh], -1), torch.cat([sample, rows], -2)
            counted = torch.cat([weights, counted], -1)
        keys, order = fresh.topk(min(count, fresh.shape[-1]), dim=-1)
        sample = rows.gather(-2, order[..., None].expand(*order.shape, rows.shape[-1]))
        weights = counted.gather(-1, order)
    if keys is None or sample is None or weights is None:
        raise CodewordError.of("at least one batch", "none", "pass a non-empty list or loader")
    fewest = int((keys > -torch.inf).sum(-1).min()) if keys.numel() else 0
    return sample[..., :fewest, :], weights[..., :fewest]


def _start(batches: Iterable[tuple[Tensor, Tensor]], count: int, start: str, seed: int) -> Tensor:
    """The first codes (..., count, D), or as many as there are rows."""
    if start not in ("sample", "k-means++"):
        raise CodewordError.of("start 'sample' or 'k-means++'", repr(start), "pass one of them")
    if start == "sample":
        return _sample(batches, count, seed, by_weight=True)[0]
    rows = min(PLUS_PLUS_ROWS_PER_CODE * count, max(PLUS_PLUS_DISTANCES // count, count))
    return _plus_plus(*_sample(batches, rows, seed, by_weight=False), count, seed)


def _keys(shape: torch.Size, seed: int, step: int, device: torch.device) -> Tensor:
    return Key.of(seed, step, device=device).uniform(Purpose.SAMPLE, *shape)


def _plus_plus(rows: Tensor, weights: Tensor, count: int, seed: int) -> Tensor:
    """k-means++ over rows (..., M, D): the first `count` draws, or all rows when there are no more."""
    if rows.shape[-2] <= count:
        return rows
    chosen: list[Tensor] = []
    if weights.dtype == torch.bool:
        chosen.append(rows[..., :1, :])  # the sample comes in random order
    errors = _errors(rows, chosen[0]) if chosen else torch.ones_like(weights, dtype=torch.float64)
    for step in range(len(chosen), count):
        total = (errors * weights).cumsum(-1)
        target = _keys(rows.shape[:-2], seed, -step, rows.device)[..., None] * total[..., -1:]
        index = torch.searchsorted(total, target, right=True).clamp_max(rows.shape[-2] - 1)
        chosen.append(rows.gather(-2, index[..., None].expand(*index.shape, rows.shape[-1])))
        fresh = _errors(rows, chosen[-1])
        errors = torch.minimum(errors, fresh) if step else fresh
    return torch.cat(chosen, -2)
