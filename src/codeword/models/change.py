"""Quantizers of a model switched off, frozen, annealed, resized."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from codeword.errors import CodewordError
from codeword.functional import Purpose
from codeword.models.find import find_codebooks, find_quantizers
from codeword.quantizers import Bitcodes, MemoryCodes, VectorQuantizer

__all__ = ["anneal", "disabled", "freeze", "resize"]


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """Switch quantization off: vectors pass through the quantizers of a model as they are, and nothing is learned.

    Projections in and out stay. Indices are -1 and the loss is 0. What was off before stays off afterwards.

    Examples:
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
        if frozen and not codebook.ready and codebook.update.init is not None:
            raise CodewordError.of(
                f"a codebook {name} that has its first codes",
                "one that waits for its first batch",
                "train a step, or call codeword.warm_up first",
            )
        codebook.frozen = frozen
        for parameter in codebook.parameters():
            parameter.requires_grad_(not frozen)


def anneal(model: nn.Module, temperature: float) -> None:
    """Set the temperature at which look-ups are drawn or relaxed: of every estimator, bitcode and memory code.

    That of an entropy loss (`Entropy`, `Diversity`, `LFQ`, `BSQ`) is something else, and stays. Compiled models are
    compiled anew for each value.

    Raises:
        CodewordError: there is none, or the value is not allowed.
    """
    if not temperature > 0:
        raise CodewordError.of("temperature above 0", repr(temperature), "end a schedule at 0.1 or so")
    found = False
    for quantizer in find_quantizers(model).values():
        if isinstance(quantizer, Bitcodes | MemoryCodes):
            quantizer.temperature = temperature
        elif isinstance(quantizer, VectorQuantizer) and hasattr(quantizer.estimator, "temperature"):
            quantizer.estimator = replace(quantizer.estimator, temperature=temperature)  # type: ignore[type-var]
        else:
            continue
        found = True
    if not found:
        raise CodewordError.of(
            "an estimator with a temperature",
            "none",
            "build a quantizer with Sampled(), Gumbel() or ReinMax(), or Bitcodes, BitLayers or MemoryCodes",
        )


def resize(quantizer: VectorQuantizer, codebook_size: int) -> VectorQuantizer:
    """A quantizer with more or fewer codes, that goes on from a trained one.

    Fewer: the codes used most since `reset_usage` stay, in their order. More: all stay where they are, and new ones
    stand beside those used most, a hundredth of their norm away, so that they share their rows.

    Args:
        quantizer: stays as it is.
        codebook_size: of the result.

    Raises:
        CodewordError: a codebook whose transform belongs to its size.

    Examples:
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
    rank = old.usage_count.argsort(descending=True, stable=True)
    stay = rank[: min(codebook_size, len(rank))].sort().values
    copied = rank[torch.arange(codebook_size - len(stay), device=rank.device) % len(rank)]
    with torch.no_grad():
        beside = old.codes[copied]
        noise = (
            quantizer.rng.next_key().normal(Purpose.NOISE, *beside.shape).to(beside) * beside.shape[1] ** -0.5
        )
        beside = beside + 0.01 * torch.linalg.vector_norm(beside, dim=-1, keepdim=True) * noise
        new.load_state_dict(kept, strict=False)
        new.codebook.init_from_(torch.cat([old.codes[stay], beside]))
        new.rng.key.copy_(quantizer.rng.key)
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
                f"{quantizer.codebook.update.transform}",
                "build a new quantizer of that size",
            )
    return kept
