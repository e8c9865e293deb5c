"""Principal components beside the eigenvectors of NumPy's covariance, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import PrincipalComponents, progressive_kmeans
from codeword.functional import principal as module_of_axes


def rows_of(count: int, features: int) -> Tensor:
    """Far from 0, each direction with a spread of its own."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(1, -1, features, dtype=torch.float32)
    turn = torch.linalg.qr(
        torch.randn(features, features, generator=generator, dtype=torch.float64)
    ).Q.float()
    return (torch.randn(count, features, generator=generator, dtype=torch.float32) * scales) @ turn + 100


def spectrum(rows: Tensor, axes: Tensor) -> np.ndarray:
    """The variance along each axis."""
    return (rows.double() @ axes).var(0, correction=0).numpy()


@pytest.mark.parametrize(("count", "features"), [(300, 7), (5, 7), (7, 7), (8, 7), (1, 3)])
def test_the_axes_are_those_of_the_covariance(count: int, features: int) -> None:
    rows = rows_of(count, features)
    wanted = np.linalg.eigvalsh(np.cov(rows.double().numpy().T, bias=True))[::-1]
    for batches in ([rows], list(rows.split(3)), iter_again(rows)):
        components = PrincipalComponents(batches)
        axes = components.axes
        np.testing.assert_allclose(components.mean, rows.double().mean(0), rtol=1e-9)
        np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-9)
        np.testing.assert_allclose(
            spectrum(rows, axes), wanted[: axes.shape[1]], atol=1e-7 * max(wanted[0], 1)
        )
        back = torch.cat([components.rows(part) for part in components.leading(axes.shape[1])])
        torch.testing.assert_close(back, rows, rtol=1e-5, atol=1e-4)
        assert components.complete


class iter_again:
    """Batches that are read anew each time, one of them with rows that are not finite."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __iter__(self):
        return iter(self.rows.split(4))


def test_of_wide_rows_the_leading_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_of_axes, "MOST_AXES", 20)
    rows = rows_of(500, 24)
    components = PrincipalComponents([rows])
    assert components.axes.shape == (24, 10)
    assert not components.complete
    wanted = np.linalg.eigvalsh(np.cov(rows.double().numpy().T, bias=True))[::-1]
    np.testing.assert_allclose(spectrum(rows, components.axes), wanted[:10], rtol=1e-6)
    codes = progressive_kmeans(components, 8, steps=30)
    assert codes.shape == (8, 24)
    means = [rows[(torch.cdist(rows.double(), codes.double()).argmin(1)) == k].mean(0) for k in range(8)]
    assert (torch.stack(means) - codes).norm() < 0.2 * codes.std(0).norm()


def test_rows_that_are_not_finite_have_no_part() -> None:
    rows = rows_of(50, 4)
    spoiled = torch.cat([rows, torch.full((2, 4), torch.nan, dtype=torch.float32)])
    torch.testing.assert_close(
        PrincipalComponents([spoiled]).axes.abs(), PrincipalComponents([rows]).axes.abs()
    )
    with pytest.raises(CodewordError, match="at least one batch"):
        PrincipalComponents([])
