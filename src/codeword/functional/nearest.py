"""The nearest codes of each row: exact, in memory O(N + K)."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.kernels import nearest as kernel
from codeword.kernels.nearest import Prepared
from codeword.kernels.nearest.prepare import unit

__all__ = ["Metric", "Prepared", "nearest", "prepare", "search"]

Metric = Literal["euclidean", "cosine", "dot"]


@overload
def nearest(x: Tensor, codes: Tensor, *, metric: Metric = ..., k: int = ...) -> Tensor: ...
@overload
def nearest(
    x: Tensor, codes: Tensor, *, metric: Metric = ..., k: int = ..., return_distances: Literal[False]
) -> Tensor: ...
@overload
def nearest(
    x: Tensor, codes: Tensor, *, metric: Metric = ..., k: int = ..., return_distances: Literal[True]
) -> tuple[Tensor, Tensor]: ...


def nearest(
    x: Tensor,
    codes: Tensor,
    *,
    metric: Metric = "euclidean",
    k: int = 1,
    return_distances: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Find the k nearest codes of each row, exactly, without the N x K matrix of distances.

    The winner is argmax_j (x - m) . (c_j - m) - |c_j - m|^2 / 2 with m the middle of the codes, which is argmin_j |x -
    c_j|^2 without the cancellation of its expanded form. Its distance is the smallest within the rounding of these
    sums. If the sums are exact, equal distances give the lowest index. They are exact for integers, and for multiples
    of a power of two, if the squared differences add up to less than 2^22 of its squares, as for 64 pixels of 0 to 255.
    No gradient flows. A row with a non-finite entry gets index 0 (0, 1, ... k - 1); a code with one is chosen only if
    no other code is left.

    Numbers whose squares float32 cannot hold, above 3e14 or all below 3e-15 in a vector, are searched in float64, which
    takes longer. To detect them `nearest` waits for the device once; `search` does not check.

    Args:
        x: rows (..., N, D), floating. Halves are searched as the float32 numbers that they are.
        codes: (..., K, D), with the same leading axes: one codebook for each group of rows.
        metric: "euclidean", "cosine" (codes are normalised here; the length of a row does not matter) or
            "dot".
        k: how many codes for each row, nearest first.
        return_distances: also return squared euclidean distances, 1 - cos, or -x . c, of the codes found,
            each computed directly from its row and code. A square that is too large for the result is inf.

    Returns:
        int64 indices (..., N), or (..., N, k) for k > 1; with `return_distances` a pair of them and the
        distances of the same shape, float32 (float64 where x and codes both are).

    Raises:
        CodewordError: shapes, dtypes or devices that do not fit, an unknown metric, no codes, k outside 1
            ... K, or float64 entries beyond 1e115 or below 1e-115.

    Examples:
        >>> codes = torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
        >>> nearest(torch.tensor([[0.9, 1.2], [4.0, 4.5]]), codes)
        tensor([1, 2])
        >>> nearest(torch.tensor([[4.0, 4.5]]), codes, k=2, return_distances=True)
        (tensor([[2, 1]]), tensor([[ 1.2500, 21.2500]]))
    """
    _check(x, codes, metric, k)
    wide = torch.promote_types(x.dtype if x.dtype == codes.dtype else torch.float32, torch.float32)
    dtype = x.dtype if x.dtype == codes.dtype and x.is_cuda else wide  # a GPU multiplies halves as they are
    x, codes = x.detach().to(dtype), codes.detach().to(dtype)
    groups = x.shape[:-2].numel()
    rows, books = x.reshape(groups, *x.shape[-2:]), codes.reshape(groups, *codes.shape[-2:])
    found = kernel.nearest(rows, books, metric, k)
    indices = found.reshape(*x.shape[:-1], *found.shape[2:])
    if not return_distances:
        return indices
    places = found.reshape(*rows.shape[:2], k)
    return indices, _distances(rows.to(wide), books.to(wide), places, metric).reshape(indices.shape)


def prepare(codes: Tensor, metric: Metric = "euclidean") -> Prepared:
    """Prepare codes for `search`; the result can be used until the codes change. No gradient flows.

    Args:
        codes: (K, D), or (G, K, D) for G codebooks, floating.
        metric: as for `nearest`; it is part of what is prepared.

    Returns:
        the codes less their centre, their offsets and the shift of the rows, float32 or wider.

    Raises:
        CodewordError: an unknown metric.

    Examples:
        >>> prepared = prepare(torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]))
        >>> search(torch.tensor([[0.9, 1.2], [4.0, 4.5]]), prepared)
        tensor([1, 2])
    """
    _check_metric(metric)
    dtype = torch.float64 if codes.dtype == torch.float64 else torch.float32
    return kernel.prepare(codes.detach().to(dtype), metric)


def search(rows: Tensor, prepared: Prepared, k: int = 1) -> Tensor:
    """Find the k nearest codes of each row as `nearest` does, without checking the input: for training steps.

    Rows and codes must be within 3e-15 to 3e14, where float32 can hold their squares and products.

    Args:
        rows: (N, D), or (G, N, D) for codes of G codebooks; computed with in the dtype of the prepared codes.
        prepared: what `prepare` returned.
        k: how many codes for each row, 1 to K.

    Returns:
        int64 indices (N,) or (G, N); (N, k) or (G, N, k) for k > 1.

    Raises:
        CodewordError: rows with other features or groups than the codes.

    Examples:
        >>> search(torch.tensor([[4.0], [0.1]]), prepare(torch.tensor([[0.0], [5.0], [1.0]])), k=2)
        tensor([[1, 2],
                [0, 2]])
    """
    rows = rows.detach().to(prepared.codes.dtype)
    if rows.dim() == 3:
        return kernel.search(rows, *prepared, k)
    return kernel.search(rows[None], *(part[None] for part in prepared), k)[0]


def _distances(rows: Tensor, codes: Tensor, indices: Tensor, metric: Metric) -> Tensor:
    """Distances (G, N, k) of the codes found."""
    groups = torch.arange(indices.shape[0], device=indices.device)[:, None]
    columns = []
    for column in indices.unbind(-1):  # one at a time: a gather of (N, k, D) would be the largest tensor here
        chosen = codes[groups, column]
        if metric == "euclidean":
            columns.append((rows - chosen).square().sum(-1))
        elif metric == "dot":
            columns.append(-(rows * chosen).sum(-1))
        else:
            columns.append(1 - (unit(rows) * unit(chosen)).sum(-1))
    return torch.stack(columns, -1)


def _check_metric(metric: str) -> None:
    if metric not in ("euclidean", "cosine", "dot"):
        raise CodewordError.of("metric 'euclidean', 'cosine' or 'dot'", repr(metric), "pass one of them")


def _check(x: Tensor, codes: Tensor, metric: str, k: int) -> None:
    _check_metric(metric)
    for name, tensor in (("x", x), ("codes", codes)):
        if not tensor.is_floating_point():
            raise CodewordError.of(f"floating {name}", f"{tensor.dtype}", f"pass {name}.float()")
    if x.dim() < 2 or codes.dim() != x.dim() or x.shape[:-2] != codes.shape[:-2]:
        raise CodewordError.of(
            "x (..., N, D) and codes (..., K, D) with equal leading axes",
            f"{tuple(x.shape)} and {tuple(codes.shape)}",
            "reshape one to the groups of the other",
        )
    if x.shape[-1] != codes.shape[-1]:
        raise CodewordError.of(
            f"rows and codes of one size, codes have {codes.shape[-1]} features",
            f"rows of {x.shape[-1]}",
            "pass rows whose last axis is the features",
        )
    if x.device != codes.device:
        raise CodewordError.of(f"codes on {x.device}", f"{codes.device}", "move one with .to(device)")
    if codes.shape[-2] >= 2**31:
        raise CodewordError.of(
            "fewer than 2^31 codes", f"{codes.shape[-2]}", "split the codebook into groups"
        )
    if not 1 <= k <= codes.shape[-2]:
        raise CodewordError.of(
            f"k from 1 to {codes.shape[-2]}, the number of codes", f"{k}", "pass another k"
        )
