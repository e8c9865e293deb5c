"""`codebook_warmup`: codes from inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from codeword.errors import CodewordError
from codeword.parts import Sample
from codeword.quantizers.warm_up import warm_up

__all__ = ["codebook_warmup"]


def codebook_warmup(
    model: nn.Module, train_dataloader: Iterable[Any], num_batch: int = 10, warmup_method: str = "data"
) -> None:
    """Replace the codes of all VQ layers of a model by inputs that they get, drawn from all of these batches.

    Args:
        model: is called with a batch, or with the first of a tuple.
        train_dataloader: gives batches, and can be iterated again.
        num_batch: at most this many are read.
        warmup_method: "data". (For k-means call `codeword.warm_up`.)

    Raises:
        CodewordError: another method, a model without VQ layers, or a loader that cannot be iterated again.

    Example:
        >>> import torch
        >>> from codeword.compat.vqtorch import VectorQuantize
        >>> vq = VectorQuantize(4, num_codes=8)
        >>> codebook_warmup(vq, [torch.randn(10, 4, 5) for _ in range(3)])
    """
    if warmup_method != "data":
        raise CodewordError.of(
            "warmup_method='data'",
            repr(warmup_method),
            "pass it, or call codeword.warm_up(model, loader, method=KMeans())",
        )
    warm_up(model, train_dataloader, batches=num_batch, method=Sample())
