"""Codes that learn by gradient, as optimisers want to know of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from codeword.models.find import codebook_parameters, find_codebooks

__all__ = ["parameter_groups", "reset_moments"]


def parameter_groups(
    model: nn.Module, learning_rate: float, codebook_learning_rate: float | None = None
) -> list[dict[str, Any]]:
    """Parameters for an optimiser in two groups: codebooks, which want a higher rate and no weight decay, and others.

    Leave the rate of the codebooks constant where the other one is scheduled.

    Args:
        learning_rate: of all else.
        codebook_learning_rate: None: ten times that.

    Examples:
        >>> from codeword import VectorQuantizer
        >>> from codeword.parts import CodebookLoss, Gradient
        >>> vq = VectorQuantizer(8, 16, update=Gradient(), penalties=(CodebookLoss(),))
        >>> optimizer = torch.optim.AdamW(parameter_groups(nn.Sequential(nn.Linear(4, 8), vq), 1e-3))
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.001, 0.01]
    """
    codes = codebook_parameters(model)
    known = {id(parameter) for parameter in codes}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    rate = 10 * learning_rate if codebook_learning_rate is None else codebook_learning_rate
    groups: list[dict[str, Any]] = [{"params": others, "lr": learning_rate}]
    return [*groups, {"params": codes, "lr": rate, "weight_decay": 0.0}] if codes else groups


def reset_moments(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Set to zero what an optimiser remembers of the codes that the last training forward revived.

    Call it between that forward and `optimizer.step()`. Codes that own their moments (`InPlaceAdam`) need no call.
    """
    for codebook in find_codebooks(model).values():
        codes = codebook.codes
        for value in optimizer.state.get(codes, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == codes.shape:
                value.masked_fill_(codebook.moved[:, None], 0.0)
