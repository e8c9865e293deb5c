"""The nearest codes of each vector instead of the nearest one, and the loss of codes that are predicted."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.compat.vector_quantize_pytorch.penalties import cross_entropy
from codeword.errors import CodewordError
from codeword.functional import Valid, over_blocks, replace_gradient, squared_error
from codeword.quantizers import Grouped, Quantizer, VectorQuantizer
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.step import assign

__all__ = ["loss_of_indices", "nearest_several", "squared_distance"]


def nearest_several(
    vq: VectorQuantizer, x: Tensor, mask: Tensor | None, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` nearest codes of each vector, nearest first; nothing is learned.

    Args:
        vq: with one codebook.
        x: as for its forward.
        mask: likewise.
        count: at most as many as there are codes.

    Returns:
        quantized: with an axis for the codes before features that are last, and behind all others.
        indices: (..., count), -1 where masked.
        losses: (..., count), the weighed penalties of each code.
    """
    if count < 1:
        raise CodewordError.of("topk of at least 1", repr(count), "pass how many codes a vector is to have")
    shape, flat, _ = vq._flatten(x, mask)
    rows, finite = vq._enter(flat)
    seen = finite if mask is None else finite & mask.reshape(-1)
    step = vq._step(seen, shape)
    if vq.training and not vq.ready:
        with torch.no_grad():
            vq._init(rows.detach(), step)
    count = min(count, vq.codebook_size)
    codes = vq.codebook.searched()
    searched = vq.metric.input(rows.detach())
    with torch.no_grad():
        scores = over_blocks(
            lambda block: vq.metric.scores(block, codes).topk(count).indices, searched, len(codes)
        )
    indices = torch.cat(scores)
    found = [_one(vq, rows, index, step) for index in indices.unbind(1)]
    quantized = torch.where(seen[:, None, None], torch.stack([q for q, _ in found], 1), 0.0)
    losses = torch.where(seen[:, None], torch.stack([loss for _, loss in found], 1), 0.0)
    indices = torch.where(seen[:, None], indices, -1)
    quantized = quantized.view(*shape, count, vq.features)
    at = quantized.ndim - 1 if vq.dim == -1 else vq.dim
    return (
        quantized.movedim(-1, at).to(x.dtype),
        indices.view(*shape, count),
        losses.view(*shape, count),
    )


def _one(vq: VectorQuantizer, rows: Tensor, indices: Tensor, step: Step) -> tuple[Tensor, Tensor]:
    """The output (N, features) for one code of each row, and its loss (N,)."""
    assignment = Assignment(indices, rows.detach(), step)
    q = vq._embed(indices)
    loss = rows.new_zeros(len(rows))
    lookup = vq._lookup(assignment, rows, q, step)
    for penalty in vq.penalties:
        if penalty.of_pairs:
            pulled = lookup.rows if penalty.trains_rows else lookup.rows.detach()
            error = (pulled - (q if penalty.trains_codes else q.detach())).square().mean(-1)
            loss = loss + penalty.weight * (error if penalty.name == "commitment" else error - error.detach())
        elif vq.training:
            loss = loss + penalty.weight * penalty(lookup)
    out = replace_gradient(q, vq._surrogate(assignment, rows, q, step)) if torch.is_grad_enabled() else q
    return vq._project(vq.project_out, out), loss


def squared_distance(quantizer: Quantizer, x: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of (q - x)^2 of valid vectors and the codes as they are."""
    _, flat, _ = quantizer._flatten(x, mask)
    rows, finite = quantizer._enter(flat)
    valid = Valid(finite if mask is None else finite & mask.reshape(-1), None)  # type: ignore[arg-type]
    found = assign(quantizer, rows, Step(valid, None))  # type: ignore[arg-type]
    return squared_error(rows, quantizer._embed(found.indices), valid.weights(rows.dtype))


def loss_of_indices(quantizer: Quantizer, x: Tensor, indices: Tensor) -> Tensor:
    """The mean cross-entropy of codes that are given, over logits that are minus the distances, or the cosines.

    Args:
        quantizer: a vector quantizer, or heads of them.
        x: as for its forward.
        indices: as it returns them; -1: without a part in the loss.
    """
    _, flat, _ = quantizer._flatten(x, None)
    rows, _ = quantizer._enter(flat)
    parts = quantizer.components if isinstance(quantizer, Grouped) else [quantizer]
    wanted = indices.reshape(len(rows), len(parts)).long()
    weights = (wanted >= 0).to(rows.dtype) / (wanted >= 0).sum().clamp_min(1)
    losses = []
    for part, own, index, share in zip(
        parts, rows.chunk(len(parts), 1), wanted.unbind(1), weights.unbind(1), strict=True
    ):
        assert isinstance(part, VectorQuantizer)
        codes = part.metric.output(part.codebook.searched().clone())
        losses.append(cross_entropy(part.metric.input(own), codes, part.metric, index, share))
    return torch.stack(losses).sum()
