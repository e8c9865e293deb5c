"""Sums and counts of rows per code, without a one-hot matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.kernels import segment_sum as kernel

__all__ = ["segment_sum", "wide_segment_sum"]


def segment_sum(
    rows: Tensor, indices: Tensor, size: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The number and the sum of the rows of each index.

    counts[j] is the sum of w_n over the rows n with index j, sums[j] the sum of w_n x_n.

    Memory is O(N D + size D). The order of summation is fixed, so the result is the same at every call. Counts are
    exact, and sums right to the precision of the result, for any number of rows.

    Args:
        rows: (..., N, D), floating; halves are summed in float32.
        indices: (..., N), int64 in [0, size).
        size: number of segments.
        weights: (..., N), bool or floating; default all ones. Weight 0 leaves a row out, NaN or not.

    Returns:
        counts (..., size), int64, or with floating weights in the dtype of the sums; and sums (..., size, D), in the
        dtype of the rows, float32 or wider.

    Raises:
        CodewordError: shapes or dtypes that do not fit.

    Examples:
        >>> rows = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
        >>> counts, sums = segment_sum(rows, torch.tensor([2, 0, 2]), 3)
        >>> counts.tolist(), sums.tolist()
        ([1, 0, 2], [[10.0, 20.0], [0.0, 0.0], [101.0, 202.0]])
    """
    _check(rows, indices, weights)
    counts, sums = _segment_sum(rows, indices, size, weights, wide=False)
    return counts if counts.dtype == torch.int64 else counts.to(sums.dtype), sums


def wide_segment_sum(
    rows: Tensor, indices: Tensor, size: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `segment_sum`, without a look at its input, and what is not whole in float64, where no sum overflows."""
    return _segment_sum(rows, indices, size, weights, wide=True)


def _segment_sum(
    rows: Tensor, indices: Tensor, size: int, weights: Tensor | None, *, wide: bool
) -> tuple[Tensor, Tensor]:
    lead = rows.shape[:-2]
    rows = rows.detach().to(torch.float64 if rows.dtype == torch.float64 else torch.float32)
    flat = (lead.numel(), *rows.shape[-2:])
    if weights is not None:
        weights = weights.detach().reshape(flat[:2])
        weights = weights if weights.dtype == torch.bool else weights.to(rows.dtype)
    counts, sums = kernel.segment_sum(rows.reshape(flat), indices.reshape(flat[:2]), size, weights, wide)
    return counts.reshape(*lead, size), sums.reshape(*lead, size, rows.shape[-1])


def _check(rows: Tensor, indices: Tensor, weights: Tensor | None) -> None:
    if rows.dim() < 2 or not rows.is_floating_point():
        raise CodewordError.of(
            "floating rows (..., N, D)", f"{rows.dtype} {tuple(rows.shape)}", "pass floating rows"
        )
    if indices.shape != rows.shape[:-1] or indices.dtype != torch.int64:
        raise CodewordError.of(
            f"int64 indices of shape {tuple(rows.shape[:-1])}",
            f"{indices.dtype} {tuple(indices.shape)}",
            "pass one int64 index for each row",
        )
    if weights is not None and weights.shape != indices.shape:
        raise CodewordError.of(
            f"weights of shape {tuple(indices.shape)}",
            f"{tuple(weights.shape)}",
            "pass one weight for each row",
        )
