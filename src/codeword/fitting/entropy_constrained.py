"""Codes and code lengths that make error and entropy small together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from codeword.functional.segment_sum import wide_segment_sum
from codeword.functional.weights import weighted
from codeword.metrics import EntropyConstrained

__all__ = ["entropy_constrained"]

_GAIN = 1e-5  # the least share of the cost that another step has to save


def entropy_constrained(
    codes: Tensor, batches: Iterable[Tensor], weight: float, steps: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Make sum |x - c|^2 + weight b smaller, b the bits of the code that x chose, from given codes.

    A step assigns all vectors, moves codes to the means of theirs, and makes the lengths those of the counts: none of
    the three can make the sum larger. Codes that nobody chooses any more stay where they are.

    Args:
        codes: to start from, (K, D).
        batches: vectors (N, D), read once a step.
        weight: of a bit, as for `EntropyConstrained`.
        steps: at most; fewer, once a step saves less than a hundred-thousandth.
        weights: (N,) of the vectors of all batches; None: all alike.

    Returns:
        the codes (K, D), and the weight of the vectors that chose each (K,), in the last step.

    Source: Chou, Lookabaugh and Gray 1989, "Entropy-constrained vector quantization", the algorithm of section III.
    """
    counts = torch.ones_like(codes[:, 0])  # at first all are as long: the start is that of a plain codebook
    lowest = math.inf
    for _ in range(max(1, steps)):
        cost, counts, codes = _step(codes, counts, weighted(batches, weights), EntropyConstrained(weight))
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
    for batch, own in batches:
        rows = torch.where(own[:, None] > 0, batch, 0).to(codes.dtype)
        indices = metric.assign(rows, prepared)
        errors = (rows - codes[indices]).double().square().sum(1) + metric.weight * bits[indices]
        cost += torch.where(own > 0, errors * own, 0).sum()
        own_counts, own_sums = wide_segment_sum(rows, indices, len(codes), own.to(rows.dtype))
        seen, sums = seen + own_counts, sums + own_sums
    moved = torch.where(seen[:, None] > 0, sums / seen.clamp_min(1e-300)[:, None], codes.double())
    return float(cost), seen.to(codes.dtype), moved.to(codes.dtype)
