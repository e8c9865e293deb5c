"""Several codes for each vector instead of one: the nearest ones, each with its output and its loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import over_blocks, replace_gradient
from codeword.functional.valid import every_row
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.checks import check_size
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["NearestCodes", "nearest_codes"]


class NearestCodes(NamedTuple):
    """The nearest codes of each vector, the nearest first.

    Attributes:
        quantized: with an axis for the codes: before features that are last, and last behind other features.
        indices: (..., count), -1 where masked.
        losses: (..., count), the weighted penalties of each code alone.
    """

    quantized: Tensor
    indices: Tensor
    losses: Tensor


def nearest_codes(vq: VectorQuantizer, x: Tensor, count: int, mask: Tensor | None = None) -> NearestCodes:
    """The `count` nearest codes of each vector, with gradients and a loss for each, so that you can choose.

    For example, score the candidates with the rest of your model, and backpropagate the best. The call does not train
    moving averages: call forward as well, or use codes that learn by gradient. In training a quantizer without first
    codes takes them from this batch. A penalty that is not a mean over pairs of row and code is the same for every row.

    Args:
        vq: with one codebook.
        x: as for its forward.
        count: how many codes; at most as many as there are.
        mask: as for its forward; where it is False, output and loss are 0 and the indices -1.

    Raises:
        CodewordError: another quantizer, a count below 1, or input that forward would refuse.

    Examples:
        >>> vq = VectorQuantizer(8, 16)
        >>> found = nearest_codes(vq, torch.randn(2, 10, 8), 3)
        >>> found.quantized.shape, found.indices.shape, found.losses.shape
        (torch.Size([2, 10, 3, 8]), torch.Size([2, 10, 3]), torch.Size([2, 10, 3]))
    """
    if not isinstance(vq, VectorQuantizer):
        raise CodewordError.of("a VectorQuantizer", type(vq).__name__, "ask each of its parts")
    check_size("count", count)
    count = min(count, vq.codebook_size)
    shape, flat, user_mask = vq._flatten(x, mask)
    with torch.autocast(x.device.type, enabled=False):
        rows, mask = vq._enter(flat, user_mask)
        valid = every_row(mask, rows)
        step = vq._step(valid, shape)
        if vq.training and not vq.ready:
            with torch.no_grad():
                vq._init(rows.detach(), step)
        indices = _search(vq, rows.detach(), count)
        found = [_one(vq, rows, index, step) for index in indices.unbind(1)]
        quantized = torch.where(valid[:, None, None], torch.stack([q for q, _ in found], 1), 0.0)
        losses = torch.where(valid[:, None], torch.stack([loss for _, loss in found], 1), 0.0)
        indices = torch.where(valid[:, None], indices, -1)
    quantized = quantized.view(*shape, count, vq.features)
    at = quantized.ndim - 1 if vq.dim == -1 else vq.dim
    return NearestCodes(
        quantized.movedim(-1, at).to(x.dtype), indices.view(*shape, count), losses.view(*shape, count)
    )


@torch.no_grad()
def _search(vq: VectorQuantizer, rows: Tensor, count: int) -> Tensor:
    """The indices (N, count)."""
    codes = vq.codebook.searched()

    def nearest(block: Tensor) -> Tensor:
        return vq.metric.scores(block, codes).topk(count).indices

    return torch.cat(over_blocks(nearest, vq.metric.input(rows), len(codes)))


def _one(vq: VectorQuantizer, rows: Tensor, indices: Tensor, step: Step) -> tuple[Tensor, Tensor]:
    """The output (N, features) for one code of each row, and its loss (N,)."""
    assignment = Assignment(indices, rows.detach(), step)
    q, loss = vq._embed(indices), rows.new_zeros(len(rows))
    lookup = vq._lookup(assignment, rows, q, step)
    for penalty in vq.penalties:
        if penalty.of_pairs:
            pulled = lookup.rows if penalty.trains_rows else lookup.rows.detach()
            error = (pulled - (q if penalty.trains_codes else q.detach())).square().mean(-1)
            loss = loss + penalty.weight * error
        elif vq.training:
            loss = loss + penalty.weight * penalty(lookup)
    out = replace_gradient(q, vq._surrogate(assignment, rows, q, step)) if torch.is_grad_enabled() else q
    return vq._project(vq.project_out, vq._rescale(rows, out)), loss
