"""Codes and code lengths that make error and entropy small together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from codeword.functional.weights import weighted
from codeword.metrics import EntropyConstrained

__all__ = ["entropy_constrained"]

_GAIN = 1e-5  # the least share of the cost that another step has to save


def entropy_constrained(
    codes: Tensor,
    batches: Iterable[Tensor],
    metric: EntropyConstrained,
    steps: int,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Reduce sum |x - c|^2 + weight b, with b the bits of the code of x, from given codes.

    A step assigns all vectors, moves each code to the mean of its vectors, and computes the bits from the counts. None
    of the three can increase the sum. Codes without vectors do not move.

    Args:
        codes: to start from, (K, D).
        batches: vectors (N, D), read once a step.
        metric: with the weight.
        steps: at most; fewer, once a step saves less than a hundred-thousandth.
        weights: (N,) of all vectors, or None: all ones.

    Returns:
        the codes (K, D), and how many vectors chose each (K,), or what they weigh, in the last step.

    Source: Chou, Lookabaugh and Gray 1989, "Entropy-constrained vector quantization", the algorithm of section III.
    """
    counts = torch.ones_like(codes[:, 0])  # at first all are as long: the start is that of a plain codebook
    lowest = math.inf
    for _ in range(max(1, steps)):
        cost, counts, codes = _step(codes, counts, weighted(batches, weights), metric)
        if not cost < lowest * (1 - _GAIN):
            break
        lowest = cost
    return codes, counts


def _step(
    codes: Tensor, counts: Tensor, batches: Iterable[tuple[Tensor, Tensor]], metric: EntropyConstrained
) -> tuple[float, Tensor, Tensor]:
    """What the assignment costs, how often it takes each code, and the means of what it takes."""
    prepared = metric.weigh(metric.prepare(codes), counts)
    bits = counts.sum().log2() - counts.double().log2()
    seen, sums = torch.zeros_like(bits), torch.zeros_like(codes, dtype=torch.float64)
    cost = torch.zeros_like(bits[0])
    for batch, counted in batches:
        rows, own = batch[counted > 0].to(codes.dtype), counted[counted > 0]
        indices = metric.assign(rows, prepared)
        cost += ((rows - codes[indices]).double().square().sum(1) + metric.weight * bits[indices]) @ own
        seen.index_add_(0, indices, own)
        sums.index_add_(0, indices, rows * own[:, None])
    moved = torch.where(seen[:, None] > 0, sums / seen.clamp_min(1e-300)[:, None], codes.double())
    return float(cost), seen.to(codes.dtype), moved.to(codes.dtype)
