"""Is every kernel right on this chip? The first thing that `benchmarks.gpu` does, in float64 on the chip itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.functional import nearest, prepare, segment_sum
from codeword.kernels.nearest.stack import search_stack
from codeword.kernels.running_sums import running_sums
from codeword.kernels.squared_error import squared_error

__all__ = ["Check", "checks"]

AT_ONCE = 2**26  # float64 numbers


@dataclass(frozen=True)
class Check:
    """How many of a kernel's answers are not those of float64, beyond the rounding of float32."""

    what: str
    features: int
    wrong: int
    of: int


def checks(device: torch.device, divide: int = 1) -> Iterator[Check]:
    """All of them, a second or so each; the first calls compile."""
    n, k = max(4099 // divide, 67), max(1021 // divide, 19)  # odd: no size fits a tile
    for d in (1, 5, 20, 40, 64, 100, 128, 256, 300):
        for kind in ("normal", "near ties", "offset", "scales"):
            rows, codes = _data(kind, n, k, d, device)
            yield Check(f"search, float32, {kind}", d, _wrong(rows, codes, nearest(rows, codes)), n)
        rows, codes = _data("near ties", 67, k, d, device)
        yield Check("search, float32, few rows", d, _wrong(rows, codes, nearest(rows, codes)), 67)
    for d in (16, 64, 128, 256, 600):
        for dtype in (torch.float16, torch.bfloat16):
            rows, codes = (part.to(dtype) for part in _data("normal", n, k, d, device))
            name = str(dtype).removeprefix("torch.")
            yield Check(f"search, {name}", d, _wrong(rows, codes, nearest(rows, codes)), n)
    for d in (5, 20, 64, 128):
        yield _stack(n, k, d, device)
        yield _stack(67, k, d, device)
        yield _sums(n, k, d, device)
        yield _losses(n, d, device)


def _data(kind: str, n: int, k: int, d: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows, codes = torch.randn(n, d, device=device), torch.randn(k, d, device=device)
    if kind == "near ties":
        codes[1::2] = codes[: k - k % 2 : 2] * (1 + 2.0**-22)
        rows = codes[torch.randint(k, (2, n), device=device)].mean(0)
    if kind == "scales":
        rows = rows * 10 ** (6 * torch.rand(n, 1, device=device) - 3)
        codes = codes * 10 ** (6 * torch.rand(k, 1, device=device) - 3)
    shift = 1e4 if kind == "offset" else 0.0
    return rows + shift, codes + shift


def _wrong(rows: Tensor, codes: Tensor, found: Tensor) -> int:
    """Rows whose code is farther than the nearest by more than the rounding of sums of float32 allows."""
    codes, wrong = codes.double(), 0
    centre = codes.median(0).values
    block = max(1, AT_ONCE // codes.numel())
    for x, index in zip(rows.double().split(block), found.split(block), strict=True):
        distances = (x[:, None] - codes).square().sum(-1)
        chosen = distances.gather(1, index[:, None])[:, 0]
        length = (x - centre).norm(dim=-1)
        near = (codes[index] - centre).norm(dim=-1)
        rounding = 4 * (codes.shape[1] + 8) * 2.0**-24 * (length + near).square() + 1e-30
        wrong += int((chosen > distances.amin(1) + rounding).sum())
    return wrong


def _stack(n: int, k: int, d: int, device: torch.device) -> Check:
    rows, wrong = torch.randn(n, d, device=device), 0
    codes = torch.randn(8, k, d, device=device) * (0.7 ** torch.arange(8, device=device))[:, None, None]
    found, seen, _ = search_stack(rows, codes, *prepare(codes), True, False)
    left = rows
    for stage, own in enumerate(codes):
        wrong += _wrong(seen[stage], own, found[:, stage])
        wrong += int((seen[stage] != left).any(1).sum())
        left = left - own[found[:, stage]]
    return Check(f"8 stages, float32, {n} rows", d, wrong, 8 * n)


def _losses(n: int, d: int, device: torch.device) -> Check:
    """What eval does after the search: sums of stages, which are to be those of plain torch, and the mean error."""
    terms, mask = torch.randn(8, n, d, device=device), torch.rand(n, device=device) > 0.3
    before, total = running_sums(terms)
    wrong, added = 0, torch.zeros(n, d, device=device)
    for sums, term in zip(before, terms, strict=True):
        wrong += int((sums != added).any())
        added = added + term
    mean = squared_error(terms, before, mask).double()
    right = (terms - before)[:, mask].double().square().mean()
    wrong += int((total != added).any()) + int((mean - right).abs() > 1e-6 * right)
    return Check("sums of 8 stages, and the mean error", d, wrong, 10)


def _sums(n: int, k: int, d: int, device: torch.device) -> Check:
    rows, indices = torch.randn(n, d, device=device), torch.randint(k, (n,), device=device)
    indices[: n // 2] = k // 2  # one segment is far longer than the others
    counts, sums = segment_sum(rows, indices, k)
    again = segment_sum(rows, indices, k)
    right = torch.zeros(k, d, dtype=torch.float64, device=device).index_add_(0, indices, rows.double())
    off = (sums - right).abs().amax(1) > 1e-6 * n**0.5 + 1e-5
    differs = (
        (again[1] != sums).any(1) | (again[0] != counts) | (counts != torch.bincount(indices, minlength=k))
    )
    return Check("segment sums, and again the same", d, int((off | differs).sum()), k)
