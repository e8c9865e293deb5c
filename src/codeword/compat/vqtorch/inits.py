"""`codebook_warmup`: codes from inputs."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from codeword.errors import CodewordError
from codeword.inits import Sample
from codeword.models.warm_up import warm_up

__all__ = ["codebook_warmup"]


def codebook_warmup(
    model: nn.Module, train_dataloader: Iterable[Any], num_batch: int = 10, warmup_method: str = "data"
) -> None:
    """Replace the codes of all VQ layers of a model by inputs of these layers, drawn from all of these batches.

    In training mode the batch norms use the statistics of each batch. Only the codes change.

    Args:
        model: is called with a batch, or with the first of a tuple.
        train_dataloader: gives batches, and can be iterated again.
        num_batch: the most batches that are read.
        warmup_method: "data". (For k-means call `codeword.warm_up`.)

    Raises:
        CodewordError: another method, a model without VQ layers, or a loader that cannot be iterated again.

    Examples:
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
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm) and part.training]
    before = [deepcopy(norm.state_dict()) for norm in norms]

    def run(model: nn.Module, batch: Any) -> Any:
        x = batch[0] if isinstance(batch, tuple | list) else batch
        for norm in norms:
            norm.train()
        return model(x.to(next(model.parameters()).device))

    try:
        warm_up(model, train_dataloader, batches=num_batch, method=Sample(), run=run)
    finally:
        for norm, state in zip(norms, before, strict=True):
            norm.load_state_dict(state)
