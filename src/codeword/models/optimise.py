"""Optimisers for codes that learn by gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from codeword.errors import CodewordError
from codeword.models.find import codebook_parameters, find_codebooks, quantizers_of

__all__ = ["parameter_groups", "reset_moments"]


def parameter_groups(
    model: nn.Module, learning_rate: float, codebook_learning_rate: float | None = None
) -> list[dict[str, Any]]:
    """Parameters for an optimiser in two groups: codebooks, with a higher rate and no weight decay, and the others.

    If you schedule the learning rate, keep that of the codebooks constant.

    Args:
        learning_rate: of the other parameters.
        codebook_learning_rate: None: ten times that.

    Raises:
        CodewordError: a model all of whose parameters are frozen.

    Examples:
        >>> from codeword import VectorQuantizer
        >>> from codeword.penalties import CodebookLoss
        >>> from codeword.updates import Gradient
        >>> vq = VectorQuantizer(8, 16, update=Gradient(), penalties=(CodebookLoss(),))
        >>> optimizer = torch.optim.AdamW(parameter_groups(nn.Sequential(nn.Linear(4, 8), vq), 1e-3))
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.001, 0.01]
    """
    parameters = list(model.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        remedy = "call codeword.freeze(model, False), or requires_grad_() on what is to learn"
        raise CodewordError.of("parameters that learn", f"a {type(model).__name__} that is frozen", remedy)
    codes = codebook_parameters(model)
    known = {id(parameter) for parameter in codes}
    others = [parameter for parameter in parameters if id(parameter) not in known]
    rate = 10 * learning_rate if codebook_learning_rate is None else codebook_learning_rate
    groups: list[dict[str, Any]] = [{"params": others, "lr": learning_rate}]
    return [*groups, {"params": codes, "lr": rate, "weight_decay": 0.0}] if codes else groups


def reset_moments(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Set the moments of an optimiser to zero for the codes that the last training forward revived.

    Call it between that forward and `optimizer.step()`. Codes that own their moments (`InPlaceAdam`) need no call.

    Raises:
        CodewordError: a model without a quantizer, or an optimiser that has none of the codes that learn by gradient.
    """
    quantizers_of(model)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    learned = [
        book
        for book in find_codebooks(model).values()
        if book.update.by_gradient and book.codes.requires_grad
    ]
    if learned and not any(id(codebook.codes) in held for codebook in learned):
        remedy = "pass the optimizer that parameter_groups(model, ...) was given to"
        raise CodewordError.of("an optimizer that has the codes of this model", "one without them", remedy)
    for codebook in learned:
        codes = codebook.codes
        for value in optimizer.state.get(codes, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == codes.shape:
                value.masked_fill_(codebook.last_revived[:, None], 0.0)
