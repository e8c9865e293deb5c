"""Weights of rows that may come in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional.valid import all_in_range

__all__ = ["check_clustering", "finite_rows", "misfit", "weighted", "weights_of"]


def check_clustering(weights: Tensor | None, metric: str) -> None:
    """Raise unless weights (..., N) are finite numbers from 0 up, and the metric has a mean."""
    if metric not in ("euclidean", "cosine"):
        raise CodewordError.of("metric 'euclidean' or 'cosine'", repr(metric), "pass one of them")
    if weights is None:
        return
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        got = f"{weights.dtype}" if isinstance(weights, Tensor) else type(weights).__name__
        raise CodewordError.of("weights in a floating tensor (..., N)", got, "pass one number for each row")
    if not bool((weights.isfinite() & (weights >= 0)).all()):
        raise CodewordError.of(
            "finite weights from 0 up", "others among them", "give weight 0 to rows to leave out"
        )


def weights_of(weights: Tensor, rows: Tensor, start: int) -> Tensor:
    """The weights (..., n) of a batch (..., n, D) that begins at row `start`, float64."""
    own = weights[..., start : start + rows.shape[-2]]
    if own.shape != rows.shape[:-1]:
        raise misfit(weights, f"rows {tuple(rows.shape)} from row {start} on")
    return own.detach().to(rows.device, torch.float64)


def finite_rows(rows: Tensor) -> Tensor:
    """Which rows (..., N) of (..., N, D) have finite numbers alone."""
    if all_in_range(rows, torch.promote_types(rows.dtype, torch.float32)):
        return torch.ones(rows.shape[:-1], dtype=torch.bool, device=rows.device)
    return rows.isfinite().all(-1)  # 20 times slower


def misfit(weights: Tensor, rows: str) -> CodewordError:
    """That there are not as many weights as rows."""
    return CodewordError.of(
        "one weight for each row of all batches",
        f"weights {tuple(weights.shape)} for {rows}",
        "pass as many as rows",
    )


def weighted(batches: Iterable[Tensor], weights: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (n, D), each with the weights (n,) of its rows, float64: 0 for those that are not finite."""
    done = 0
    for rows in batches:
        finite = finite_rows(rows)
        done, start = done + len(rows), done
        yield (
            rows,
            finite.double() if weights is None else torch.where(finite, weights_of(weights, rows, start), 0),
        )
    if weights is not None and done != weights.shape[-1]:
        raise misfit(weights, f"{done} rows")
