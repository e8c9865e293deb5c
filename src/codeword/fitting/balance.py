"""Indices of a residual quantizer with as few collisions as its last stage allows: semantic IDs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.composite.beam import codes_of
from codeword.quantizers.composite.residual import Residual

__all__ = ["balance"]

_ROUNDS = 50
_SHARPNESS = 0.05  # of the plan, in units of the mean cost


@torch.no_grad()
def balance(quantizer: Residual, vectors: Tensor, indices: Tensor) -> Tensor:
    """New indices with few collisions: colliding vectors get another last index.

    Take n vectors with equal indices in all stages except the last. Each of the K codes of the last stage goes to n / K
    of them, rounded down or up, so all indices differ if n <= K. Sinkhorn's transport plan with equal shares of the
    codes decides which; it is rounded from its largest entry down. Other vectors keep their indices. The function needs
    the whole catalogue at once, and `encode` does not use its result.

    Args:
        quantizer: residual, its last stage a vector quantizer with the Euclidean metric and without projections.
        vectors: (N, features), finite.
        indices: (N, stages) of them, as `encode` gives them.

    Raises:
        CodewordError: another quantizer, or vectors and indices that do not belong together.

    Source: the uniform semantic mapping of LC-Rec, Zheng et al. 2024 (arXiv:2311.09049), for each prefix by itself;
    Cuturi 2013 (arXiv:1306.0895).

    Examples:
        >>> from codeword import fit
        >>> from codeword.fitting import collisions
        >>> vectors = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        >>> quantizer = fit(vectors, "rvq2x16")
        >>> indices = quantizer.encode(vectors)
        >>> before, after = collisions(indices), collisions(balance(quantizer, vectors, indices))
        >>> after.share < before.share / 2
        True
    """
    if not isinstance(quantizer, Residual) or quantizer.project_in is not None or quantizer.count < 2:
        raise CodewordError.of(
            "a residual quantizer of two stages or more",
            repr(quantizer),
            "others have no last stage to choose",
        )
    codes = codes_of(quantizer.components[-1])
    if indices.shape != (len(vectors), quantizer.count) or len(quantizer.index_shape) != 1:
        raise CodewordError.of(
            f"indices ({len(vectors)}, {quantizer.count}), one row for each vector",
            f"shape {tuple(indices.shape)}",
            "pass what encode returned for these vectors",
        )
    residuals = vectors.to(codes.dtype) - quantizer.decode(indices, codes.dtype, stages=quantizer.count - 1)
    _, prefix, sizes = indices[:, :-1].unique(dim=0, return_inverse=True, return_counts=True)
    _, whole, counts = indices.unique(dim=0, return_inverse=True, return_counts=True)
    alike = prefix.argsort(stable=True).split(sizes.tolist())
    last = indices[:, -1].clone()
    for number in prefix[counts[whole] > 1].unique().tolist():
        last[alike[number]] = _shared_out(residuals[alike[number]], codes)
    return torch.cat([indices[:, :-1], last[:, None]], 1)


def _shared_out(rows: Tensor, codes: Tensor) -> Tensor:
    """A code for each row (n,), each to n / K of them, rounded down or up."""
    k = len(codes)
    plan = _plan(torch.cdist(rows.double(), codes.double()).square())
    room = torch.full((k,), len(rows) // k + 1, dtype=torch.int64, device=rows.device)
    spare = len(rows) % k  # how many codes may be given once more than n / K rounded down
    found = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    for _ in range(len(rows)):
        row, code = divmod(int(plan.argmax()), k)
        found[row] = code
        room[code] -= 1
        spare -= int(room[code] == 0)
        plan[row] = -torch.inf
        plan[:, room <= (0 if spare else 1)] = -torch.inf
    return found


def _plan(cost: Tensor) -> Tensor:
    """The logarithm of the transport plan (n, K): rows sum to 1, columns to n / K or, where n < K, to at most 1."""
    n, k = cost.shape
    plan = -cost / (_SHARPNESS * cost.mean()).clamp_min(torch.finfo(cost.dtype).tiny)
    for _ in range(_ROUNDS):
        plan = plan.log_softmax(1)
        columns = plan.logsumexp(0)
        plan = plan - (columns.clamp_min(0) if n < k else columns + math.log(k / n))
    return plan
