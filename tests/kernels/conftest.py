"""Rows and codes that are hard for a search, and the judge of an answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

collect_ignore = ["interpreter"]  # scripts, which test_triton.py runs

Judge = Callable[[Tensor, Tensor, Tensor, str], None]


def _distances(rows: np.ndarray, codes: np.ndarray, metric: str) -> np.ndarray:
    if metric == "dot":
        return -(rows @ codes.T)
    return np.stack([((rows - code) ** 2).sum(-1) for code in codes], -1)


def _judge(rows: Tensor, codes: Tensor, found: Tensor, metric: str = "euclidean") -> None:
    """Every chosen distance is the smallest, within the rounding of float32 around the mean of the codes."""
    assert found.dtype == torch.int64
    assert found.shape == rows.shape[:-1]
    for x, c, index in zip(rows.double().numpy(), codes.double().numpy(), found.numpy(), strict=True):
        distances = _distances(x, c, metric)
        chosen = np.take_along_axis(distances, index[:, None], -1)[:, 0]
        mean = c.mean(0)
        length = np.linalg.norm(x - (mean if metric == "euclidean" else 0), axis=-1)
        radius = np.linalg.norm(c - mean, axis=-1).max()
        rounding = 4 * (x.shape[-1] + 8) * 2.0**-24 * radius * (length + radius)
        assert (chosen <= distances.min(-1, initial=np.inf) + rounding).all()


@pytest.fixture(scope="session")
def judge() -> Judge:
    return _judge


def _hard(kind: str, groups: int, n: int, k: int, d: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n * 1009 + k * 31 + d)
    rows = torch.randn(groups, n, d, generator=generator)
    codes = torch.randn(groups, k, d, generator=generator)
    if kind.startswith("mean"):
        shift = float(kind.removeprefix("mean"))
        return rows + shift, codes + shift
    if (
        kind == "near ties"
    ):  # pairs of codes that differ in the last bits, and rows half way between two codes
        codes[:, 1::2] = codes[:, : k - k % 2 : 2] * (1 + 2.0**-22)
        other = torch.randint(k, (groups, n, 2), generator=generator)
        ends = codes.gather(1, other.flatten(1)[..., None].expand(groups, 2 * n, d)).view(groups, n, 2, d)
        return ends.mean(2), codes
    if kind == "scales":  # from 1e-3 to 1e3 between codes, and between rows
        exponent = torch.rand(groups, k, 1, generator=generator) * 6 - 3
        return rows * 10 ** (torch.rand(groups, n, 1, generator=generator) * 6 - 3), codes * 10**exponent
    assert kind == "normal"
    return rows, codes


KINDS = ("normal", "mean10", "mean100", "near ties", "scales")


@pytest.fixture(params=KINDS)
def hard(request: pytest.FixtureRequest) -> Callable[..., tuple[Tensor, Tensor]]:
    return lambda *sizes: _hard(request.param, *sizes)
