"""What the codebooks of a model learn from single forwards: nothing, or some rows more than others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from codeword.models.find import find_codebooks, quantizers_of
from codeword.models.temporary import temporarily
from codeword.quantizers.row_weights import RowWeights
from codeword.quantizers.step import learn_from_accumulated

__all__ = ["learn_now", "paused", "weighted"]


@contextmanager
def weighted(model: nn.Module, weights: RowWeights) -> Iterator[None]:
    """Let some rows count more than others for codes that are means of rows.

    With weights w the update rule learns from the counts n_k = sum of w and the sums s_k = sum of w x over the rows of
    code k. Rows of weight 0 are not learned from, but have an output. Usage counts and losses are not weighted. Use it
    on all ranks or on none.

    Args:
        model: or a quantizer, with codes that learn from sums of rows: `EMA` and its like.
        weights: 0 or more, a number for each vector, of the shape of a mask; or a function of rows (N, D) and the codes
            (N, D) that they chose, as each codebook sees them, that returns (N,).

    Raises:
        CodewordError: in forward: weights of another shape, or codes that learn otherwise.

    Examples:
        >>> import torch
        >>> from codeword import VectorQuantizer
        >>> vq = VectorQuantizer(8, 16)
        >>> with weighted(vq, lambda rows, codes: 1 / (1 + (rows - codes).square().sum(-1))):  # outliers count less
        ...     out = vq(torch.randn(100, 8))
    """
    with temporarily(quantizers_of(model).values(), "row_weights", weights):
        yield


@contextmanager
def paused(model: nn.Module) -> Iterator[None]:
    """The codebooks of a model learn nothing from training forwards in this context; uses are counted.

    Unlike `freeze` it ends with the context, and does not change which parameters require gradients.

    Args:
        model: or a quantizer.

    Raises:
        CodewordError: a model without a quantizer.

    Examples:
        >>> import torch
        >>> from codeword import VectorQuantizer
        >>> vq = VectorQuantizer(8, 16)
        >>> out = vq(torch.randn(100, 8))
        >>> before = vq.codebook.codes.clone()
        >>> with paused(vq):
        ...     out = vq(torch.randn(100, 8))
        >>> vq.codebook.codes.equal(before)
        True
    """
    quantizers_of(model)
    with temporarily(find_codebooks(model).values(), "frozen", True):
        yield


def learn_now(model: nn.Module) -> None:
    """Learn from the statistics collected in `accumulate`, without a batch outside of it.

    Args:
        model: or a quantizer.

    Raises:
        CodewordError: a model without a quantizer.

    Examples:
        >>> import torch
        >>> import codeword
        >>> vq = codeword.VectorQuantizer(8, 16)
        >>> with codeword.accumulate(vq):
        ...     for _ in range(4):
        ...         out = vq(torch.randn(20, 8))
        >>> learn_now(vq)
        >>> int(vq.codebook.usage_count.sum())
        80
    """
    for quantizer in quantizers_of(model).values():
        learn_from_accumulated(quantizer)
