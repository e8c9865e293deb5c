"""Vectors as their principal components, for data that may not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional.random import Key, Purpose

__all__ = ["PrincipalComponents", "axes_of"]

MOST_AXES = 1024  # that are found exactly; of wider rows the leading half as many, by subspace iteration
ROUNDS = 6


class PrincipalComponents:
    """The principal axes of vectors, found once, and the vectors along them; of one tensor they are computed once.

    The eigenvectors are those of the covariance (D, D); where there are at most D vectors, of their own products; above
    1,024 features the leading 512 axes alone, by subspace iteration.

    Args:
        batches: of rows (N, D), floating; a list is one that is in memory anyway. Rows that are not finite have no part
            in the axes.

    Raises:
        CodewordError: no batch.

    Source: Halko, Martinsson and Tropp 2011, "Finding structure with randomness" (arXiv:0909.4061).

    Examples:
        >>> rows = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
        >>> components = PrincipalComponents([rows])
        >>> components.axes[:, 0].abs().tolist(), components.mean.tolist()
        ([1.0, 0.0], [2.0, 1.0])
    """

    def __init__(self, batches: Iterable[Tensor]) -> None:
        self._set(batches, *_axes(batches))

    @classmethod
    def along(
        cls, batches: Iterable[Tensor], mean: Tensor, axes: Tensor, complete: bool
    ) -> PrincipalComponents:
        """Batches along known axes: the mean (D,), axes (D, R) as `axes_of` gives them, and whether they are all."""
        made = cls.__new__(cls)
        made._set(batches, mean, axes, complete)
        return made

    def of(self, rows: Tensor) -> PrincipalComponents:
        """Other rows (N, D), all finite, along the same axes, those of their largest variances first."""
        other = PrincipalComponents.along([], rows.mean(0, dtype=torch.float64), self.axes, self.complete)
        turned = other._turned(rows)
        order = turned.square().sum(0).argsort(descending=True)
        other.batches, other.axes, other._known = [rows], self.axes[:, order], [turned[:, order]]
        return other

    def _set(self, batches: Iterable[Tensor], mean: Tensor, axes: Tensor, complete: bool) -> None:
        self.batches, self.mean, self.axes, self.complete = batches, mean, axes, complete
        self._known = [self._turned(rows) for rows in batches] if isinstance(batches, list) else None

    def leading(self, width: int) -> Iterable[Tensor]:
        """The first `width` components of the rows, in batches."""
        if self._known is not None:
            return [rows[:, :width].contiguous() for rows in self._known]
        return _Leading(self, width)

    def rows(self, components: Tensor) -> Tensor:
        """The rows (K, D) of some first components (K, width)."""
        wide = components.double() @ self.axes[:, : components.shape[1]].T
        return (wide + self.mean).to(components.dtype)

    def _turned(self, rows: Tensor, width: int | None = None) -> Tensor:
        dtype = torch.promote_types(rows.dtype, torch.float32)
        with torch.autocast(rows.device.type, enabled=False):
            return (rows.double() - self.mean).to(dtype) @ self.axes[:, :width].to(dtype)


class _Leading:
    """The components of batches, computed anew at each iteration."""

    def __init__(self, components: PrincipalComponents, width: int) -> None:
        self.components, self.width = components, width

    def __iter__(self) -> Iterator[Tensor]:
        return (self.components._turned(rows, self.width) for rows in self.components.batches)


def _axes(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor, bool]:
    """The mean (D,), axes in the columns (D, R), the longest first, and whether all rows are along them; float64."""
    count, total, products, shift = 0, None, None, None
    few: list[Tensor] | None = []  # the rows themselves, while they are no more than features
    for batch in batches:
        rows = batch.detach()[batch.isfinite().all(-1)].double()
        if shift is None or total is None:
            shift = rows.mean(0) if len(rows) else rows.new_zeros(rows.shape[1])
            total = torch.zeros_like(shift)
        rows = rows - shift  # near the mean: products of large offsets would cancel
        count, total = count + len(rows), total + rows.sum(0)
        if few is not None and count <= len(shift):
            few.append(rows)
            continue
        if products is None:
            products, few = sum(part.T @ part for part in few or [rows[:0]]), None
        products = products + rows.T @ rows
    if shift is None or total is None:
        raise CodewordError.of("at least one batch", "none", "pass a non-empty list or loader")
    mean = total / max(count, 1)
    if products is None:
        return shift + mean, *_axes_of_few(torch.cat(few or [total[None]]) - mean)
    covariance = products / max(count, 1) - mean.outer(mean)
    return shift + mean, *axes_of(covariance)


def axes_of(covariance: Tensor) -> tuple[Tensor, bool]:
    """The axes of a covariance (D, D), and whether they are all."""
    if len(covariance) > MOST_AXES:
        return _leading_axes(covariance, MOST_AXES // 2), False
    return torch.linalg.eigh(covariance).eigenvectors.flip(1), True


def _axes_of_few(rows: Tensor) -> tuple[Tensor, bool]:
    """The axes of centred rows (N, D) that span no more than N of D directions."""
    if not len(rows):
        return torch.eye(rows.shape[1], 1, dtype=rows.dtype, device=rows.device), True
    basis = torch.linalg.qr(rows.T).Q
    along = rows @ basis
    return basis @ torch.linalg.eigh(along.T @ along).eigenvectors.flip(1), True


def _leading_axes(covariance: Tensor, count: int) -> Tensor:
    """The `count` leading eigenvectors of a covariance (D, D), by subspace iteration from fixed random directions."""
    key = Key.of(0, 0, device=covariance.device)
    basis = key.normal(Purpose.SAMPLE, len(covariance), count + 32).to(covariance.dtype)
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(covariance @ basis).Q
    inner = basis.T @ covariance @ basis
    return (basis @ torch.linalg.eigh(inner).eigenvectors.flip(1))[:, :count]
