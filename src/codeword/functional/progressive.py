"""k-means that first sees the principal directions of the vectors, then all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional.kmeans import kmeans

__all__ = ["progressive_kmeans"]

WIDTHS = 10


def progressive_kmeans(
    rows: Tensor | Iterable[Tensor], codebook_size: int, *, steps: int = 100, seed: int = 0
) -> Tensor:
    """Cluster vectors in growing numbers of their principal components: a tenth of the steps in each of ten widths.

    Widths grow by a constant factor from D^(1/10) to D, and codes are carried over, zeros where they are new. As
    the codes of the stages of a residual quantizer these are better than those of `kmeans`, whatever its start.

    Args:
        rows: (N, D), floating; or something that yields batches of that form whenever it is iterated. A row that
            is not finite is left out.
        codebook_size: number of codes K, at most the number of rows.
        steps: Lloyd steps in all.
        seed: decides the draws of the start, which is k-means++ in the first width.

    Returns:
        codes (K, D), float32 or wider.

    Raises:
        CodewordError: as for `kmeans`.

    Source: the progressive dimensions of Faiss's residual quantizer; Liu et al. 2015, "Improved residual vector
    quantization for high-dimensional approximate nearest neighbor search" (arXiv:1509.05195).

    Examples:
        >>> rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0]])
        >>> progressive_kmeans(rows, 2)[:, 0].sort().values.round().tolist()
        [0.0, 10.0]
    """
    batches = [rows] if isinstance(rows, Tensor) else rows
    if isinstance(batches, Iterator):
        raise CodewordError.of(
            "batches that can be read again", "an iterator", "pass a list or a data loader"
        )
    mean, axes = _principal(batches)
    turned = _Turned(batches, mean, axes)
    widths = sorted({int(len(axes) ** ((n + 1) / WIDTHS)) for n in range(WIDTHS)})
    codes = None
    for number, width in enumerate(widths):
        some = steps * (number + 1) // len(widths) - steps * number // len(widths)
        start: Tensor | Literal["k-means++"] = (
            "k-means++" if codes is None else F.pad(codes, (0, width - codes.shape[1]))
        )
        codes = kmeans(turned.first(width), codebook_size, steps=some, start=start, seed=seed)
    assert codes is not None
    return (codes.double() @ axes.T + mean).to(codes.dtype)


class _Turned:
    """Batches as their first principal components; of one tensor they are computed once."""

    def __init__(self, batches: Iterable[Tensor], mean: Tensor, axes: Tensor) -> None:
        self.mean, self.axes = mean, axes
        self.width = len(axes)
        self.done = isinstance(batches, list)
        self.batches = [self._turn(rows) for rows in batches] if self.done else batches

    def first(self, width: int) -> Iterable[Tensor]:
        """The first `width` components."""
        self.width = width
        return [rows[:, :width].contiguous() for rows in self.batches] if self.done else self

    def __iter__(self) -> Iterator[Tensor]:
        return (self._turn(rows) for rows in self.batches)

    def _turn(self, rows: Tensor) -> Tensor:
        dtype = torch.promote_types(rows.dtype, torch.float32)
        with torch.autocast(rows.device.type, enabled=False):
            return (rows.double() - self.mean).to(dtype) @ self.axes[:, : self.width].to(dtype)


def _principal(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the principal axes (D, D), one a column, the longest first; float64."""
    count, total, products, shift = 0, None, None, None
    for batch in batches:
        rows = batch.detach()[batch.isfinite().all(-1)].double()
        if shift is None or total is None or products is None:
            shift = rows.mean(0) if len(rows) else rows.new_zeros(rows.shape[1])
            total, products = torch.zeros_like(shift), shift.new_zeros(len(shift), len(shift))
        rows = rows - shift  # near the mean: products of large offsets would cancel
        count, total, products = count + len(rows), total + rows.sum(0), products + rows.T @ rows
    if shift is None or total is None or products is None:
        raise CodewordError.of("at least one batch", "none", "pass a non-empty list or loader")
    mean = total / max(count, 1)
    spread = products / max(count, 1) - mean.outer(mean)
    return shift + mean, torch.linalg.eigh(spread).eigenvectors.flip(1)
