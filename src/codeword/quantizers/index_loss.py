"""The loss of a model that predicts codes: the cross-entropy of given indices."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional.valid import every_row
from codeword.penalties.cross_entropy import cross_entropy
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import as_int64, check_indices
from codeword.quantizers.composite.grouped import Grouped
from codeword.quantizers.composite.residual import Residual
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["index_loss"]


def index_loss(quantizer: Quantizer, x: Tensor, indices: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean of -log p(k | x) at given indices k: a loss for models whose output vectors predict codes.

    p(k | x) is the softmax over all codes of -|x - c_k|, or of the cosine. A stage of a stack sees the residual after
    the given codes of the stages before it, and a group sees its features. The call does not train moving averages; the
    gradient goes to `x`, and to codes that learn by gradient.

    Args:
        quantizer: a `VectorQuantizer`, or a `Residual` or `Grouped` of such.
        x: predicted vectors, as for its forward.
        indices: as its forward returns them, from the target vectors; -1 is ignored.
        mask: as for its forward.

    Returns:
        a scalar in nats, the mean over all indices except -1; 0 if there are none.

    Raises:
        CodewordError: another quantizer, indices of another shape or out of range.

    Source: Shen et al. 2023, NaturalSpeech 2, its cross-entropy over residual codes (arXiv:2304.09116).

    Examples:
        >>> vq = VectorQuantizer(8, 16)
        >>> speech = torch.randn(2, 10, 8)
        >>> indices = vq(speech).indices
        >>> bool(index_loss(vq, speech, indices) < index_loss(vq, torch.randn(2, 10, 8), indices))
        True
    """
    shape, flat, user_mask = quantizer._flatten(x, mask)
    indices = as_int64(indices)
    if indices.shape != (*shape, *quantizer.index_shape):
        raise CodewordError.of(
            f"indices {(*shape, *quantizer.index_shape)}",
            f"{tuple(indices.shape)}",
            "pass what encode returned",
        )
    with torch.autocast(x.device.type, enabled=False):
        rows, mask = quantizer._enter(flat, user_mask)
        valid = every_row(mask, rows)
        wanted = indices.reshape(len(rows), *quantizer.index_shape)
        wanted = torch.where(valid.view(-1, *[1] * (wanted.ndim - 1)), wanted, -1)
        losses, counts = zip(*_losses(quantizer, rows, wanted), strict=True)
        return torch.stack(losses).sum() / torch.stack(counts).sum().clamp_min(1)


def _losses(quantizer: Quantizer, rows: Tensor, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The sum of the losses of each codebook, and the number of indices in it."""
    if isinstance(quantizer, VectorQuantizer):
        check_indices(wanted, quantizer.codebook_size)
        counted = (wanted >= 0).to(rows.dtype)
        metric = quantizer.metric
        codes = metric.output(quantizer.codebook.searched().clone())
        yield cross_entropy(metric.input(rows), codes, metric, wanted, counted), counted.sum()
    elif isinstance(quantizer, Grouped):
        inputs = zip(quantizer._inputs(rows), quantizer._split(wanted), strict=True)
        for (child, seen), index in inputs:
            yield from _losses(child, child._project(child.project_in, seen), index)
    elif isinstance(quantizer, Residual):
        for child, index in zip(quantizer.components, quantizer._split(wanted), strict=True):
            yield from _losses(child, child._project(child.project_in, rows), index)
            there = (index >= 0).view(len(index), -1).all(1)
            q = child._project(child.project_out, child._embed(index.clamp_min(0)))
            rows = rows - torch.where(there[:, None], q, 0.0).detach()
    else:
        raise CodewordError.of(
            "a VectorQuantizer, or a Residual or Grouped of such",
            quantizer.spec,
            "pass one of these: their codes have distances",
        )
