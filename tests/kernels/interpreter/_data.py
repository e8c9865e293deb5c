"""Hard rows and codes, and float64 as the judge, for the scripts beside this file."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["KINDS", "guarded", "hard", "judge"]

KINDS = ("normal", "offset", "near ties", "equal codes", "scales", "one far", "whole numbers", "not finite")


def guarded(tensor: Tensor) -> Tensor:
    """The same numbers in the middle of a buffer of NaN: what is read beyond them spoils the answer."""
    buffer = torch.full((tensor.numel() + 128,), float("nan"), dtype=tensor.dtype)
    buffer[64:-64] = tensor.flatten()
    return buffer[64:-64].view(tensor.shape)


def hard(kind: str, groups: int, n: int, k: int, d: int) -> tuple[Tensor, Tensor]:
    rows, codes = torch.randn(groups, n, d), torch.randn(groups, k, d)
    if kind == "offset":
        return rows + 1e4, codes + 1e4
    if kind == "near ties":  # pairs that differ in the last bits, and rows between two codes
        codes[:, 1::2] = codes[:, : k - k % 2 : 2] * (1 + 2.0**-22)
        rows = codes[:, torch.randint(k, (2, n))].mean(1)
    elif kind == "equal codes":
        codes = codes[:, torch.arange(k) % max(k // 3, 1)]
    elif kind == "scales":
        codes = codes * 10 ** (torch.rand(groups, k, 1) * 6 - 3)
        rows = rows * 10 ** (torch.rand(groups, n, 1) * 6 - 3)
    elif kind == "one far":
        codes[:, -1] *= 1e5
    elif kind == "whole numbers":
        codes = torch.randint(-4, 5, codes.shape).float()
        rows = codes[:, torch.randint(k, (2, n))].mean(1)
    elif kind == "not finite":
        rows[:, ::3, 0] = torch.tensor([torch.nan, torch.inf, -torch.inf])[
            torch.arange(len(rows[0, ::3])) % 3
        ]
        codes[:, :: max(k // 3, 2), -1] = torch.nan
    return rows, codes


def judge(rows: Tensor, codes: Tensor, found: Tensor, metric: str, rounding: float = 2.0**-24) -> None:
    """The chosen distance is the smallest within the rounding of float32; equal codes go to the lowest index."""
    assert found.dtype == torch.int64
    assert found.shape == rows.shape[:2]
    for x, c, index in zip(rows.double(), codes.double(), found, strict=True):
        distances = -(x @ c.T) if metric == "dot" else (x[:, None] - c).square().sum(-1)
        finite = x.isfinite().all(-1)
        assert not index[~finite].any()
        x, distances, index = x[finite], distances[finite].nan_to_num(nan=torch.inf), index[finite]
        chosen = distances.gather(1, index[:, None])[:, 0]
        good = c[c.isfinite().all(-1)]
        if not len(good):
            assert not index.any()
            continue
        centre = good.median(0).values
        length = (x if metric == "dot" else x - centre).norm(dim=-1)
        near = (c - centre).norm(dim=-1)[
            index
        ]  # of the code chosen: it is as near as any, so no other is longer
        radius = near + length if metric != "dot" else (good - centre).norm(dim=-1).max()
        allowed = 4 * (x.shape[1] + 8) * rounding * radius * (length + radius) + 1e-30
        assert (chosen <= distances.min(-1).values + allowed).all(), (chosen - distances.min(-1).values).max()
        same = (c[:, None] == c).all(-1).long().argmax(-1)  # the first of codes that are equal
        assert torch.equal(same[index], index)
