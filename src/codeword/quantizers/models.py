"""The quantizers of a model: found, switched off, frozen, annealed, resized, and their parameters for optimisers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from codeword.errors import CodewordError
from codeword.functional import Stream
from codeword.parts import Codebook
from codeword.quantizers.base import Quantizer
from codeword.quantizers.vector import VectorQuantizer

__all__ = [
    "anneal",
    "codebook_parameters",
    "disabled",
    "find_codebooks",
    "find_quantizers",
    "freeze",
    "parameter_groups",
    "reset_moments",
    "resize",
]


def find_quantizers(model: nn.Module) -> dict[str, Quantizer]:
    """The quantizers of a model by the names of their places, those inside others too.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), VectorQuantizer(8, 16))
        >>> list(find_quantizers(model))
        ['1']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, Quantizer)}


def find_codebooks(model: nn.Module) -> dict[str, Codebook]:
    """The codebooks of a model by the names of their places; one that is shared is there once."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Codebook)}


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """Switch quantization off: vectors pass through the quantizers of a model as they are, and nothing is learned.

    Projections in and out stay. Indices are -1 and the loss is 0. What was off before stays off afterwards.

    Example:
        >>> vq = VectorQuantizer(8, 16)
        >>> x = torch.randn(5, 8)
        >>> with disabled(vq):
        ...     bool((vq(x).quantized == x).all())
        True
    """
    before = {quantizer: quantizer.enabled for quantizer in find_quantizers(model).values()}
    try:
        for quantizer in before:
            quantizer.enabled = False
        yield
    finally:
        for quantizer, enabled in before.items():
            quantizer.enabled = enabled


def freeze(model: nn.Module, frozen: bool = True) -> None:
    """Stop the codebooks of a model from learning, or let them go on; use is still counted in training.

    Their parameters, where they learn by gradient, stop requiring it. This is not saved with the weights.

    Raises:
        CodewordError: a codebook that has not seen its first batch, so that it would be frozen at random codes.
    """
    for name, codebook in find_codebooks(model).items():
        if frozen and not codebook.ready and codebook.rule.init is not None:
            raise CodewordError.of(
                f"a codebook {name} that has its first codes",
                "one that waits for its first batch",
                "train a step, or call codeword.warm_up first",
            )
        codebook.frozen = frozen
        for parameter in codebook.parameters():
            parameter.requires_grad_(not frozen)


def anneal(model: nn.Module, temperature: float) -> None:
    """Set the temperature of every estimator that has one. Compiled models are compiled anew for each value.

    Raises:
        CodewordError: there is none, or the value is not allowed.
    """
    found = False
    for quantizer in find_quantizers(model).values():
        if isinstance(quantizer, VectorQuantizer) and hasattr(quantizer.estimator, "temperature"):
            quantizer.estimator = replace(quantizer.estimator, temperature=temperature)  # type: ignore[type-var]
            found = True
    if not found:
        raise CodewordError.of(
            "an estimator with a temperature",
            "none",
            "build a quantizer with Sampled(), Gumbel() or ReinMax()",
        )


def codebook_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of the codebooks of a model, transforms included; empty where codes learn without gradients."""
    return [parameter for codebook in find_codebooks(model).values() for parameter in codebook.parameters()]


def parameter_groups(
    model: nn.Module, learning_rate: float, codebook_learning_rate: float | None = None
) -> list[dict[str, Any]]:
    """Parameters for an optimiser in two groups: codebooks, which want a higher rate and no weight decay, and others.

    Leave the rate of the codebooks constant where the other one is scheduled.

    Args:
        learning_rate: of all else.
        codebook_learning_rate: None: ten times that.

    Example:
        >>> from codeword.parts import CodebookLoss, Gradient
        >>> vq = VectorQuantizer(8, 16, codebook=Gradient(), penalties=(CodebookLoss(),))
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


def resize(quantizer: VectorQuantizer, codebook_size: int) -> VectorQuantizer:
    """A quantizer with more or fewer codes, that goes on from a trained one.

    Fewer: the codes used most since `reset_usage` stay, in their order. More: all stay where they are, and new ones
    stand beside those used most, a hundredth of their norm away, so that they share their rows.

    Args:
        quantizer: stays as it is.
        codebook_size: of the result.

    Raises:
        CodewordError: a codebook whose transform belongs to its size.

    Example:
        >>> vq = VectorQuantizer(8, 16)
        >>> out = vq(torch.randn(100, 8))
        >>> resize(vq, 24).codebook.codes.shape
        torch.Size([24, 8])
    """
    old = quantizer.codebook
    options = {**quantizer.options(), "codebook_size": codebook_size}
    new = VectorQuantizer(quantizer.features, dim=quantizer.dim, **options).to(
        old.codes.device, old.codes.dtype
    )
    kept = _kept_weights(quantizer, new)
    rank = old.hits.argsort(descending=True, stable=True)
    stay = rank[: min(codebook_size, len(rank))].sort().values
    copied = rank[torch.arange(codebook_size - len(stay), device=rank.device) % len(rank)]
    with torch.no_grad():
        beside = old.codes[copied]
        noise = old.draws().normal(Stream.NOISE, *beside.shape).to(beside) * beside.shape[1] ** -0.5
        beside = beside + 0.01 * torch.linalg.vector_norm(beside, dim=-1, keepdim=True) * noise
        new.load_state_dict(kept, strict=False)
        new.codebook.start_from_(torch.cat([old.codes[stay], beside]))
        new.codebook.seed.copy_(old.seed)
        new.codebook.step.copy_(old.step)
    return new.train(quantizer.training)


def _kept_weights(quantizer: VectorQuantizer, new: VectorQuantizer) -> dict[str, torch.Tensor]:
    """The weights that go over as they are: projections and transform."""
    kept = {
        name: value
        for name, value in quantizer.state_dict().items()
        if not name.startswith("codebook.") or name.startswith("codebook.transform.")
    }
    for name, value in new.state_dict().items():
        if name in kept and kept[name].shape != value.shape:
            raise CodewordError.of(
                "a transform that does not depend on the number of codes",
                f"{quantizer.codebook.rule.transform}",
                "build a new quantizer of that size",
            )
    return kept
