"""Quantizers of a model switched off and annealed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import nn

from codeword.errors import CodewordError
from codeword.models.find import find_quantizers, quantizers_of
from codeword.quantizers import Bitcodes, MemoryCodes, VectorQuantizer

__all__ = ["anneal", "disabled"]


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """Switch quantization off: vectors pass the quantizers of a model unchanged, and nothing is learned.

    Projections stay. Indices are -1 and the loss is 0. Quantizers that were off before stay off afterwards.

    Raises:
        CodewordError: a model without a quantizer.

    Examples:
        >>> import torch
        >>> vq = VectorQuantizer(8, 16)
        >>> x = torch.randn(5, 8)
        >>> with disabled(vq):
        ...     bool((vq(x).quantized == x).all())
        True
    """
    before = {quantizer: quantizer.enabled for quantizer in quantizers_of(model).values()}
    try:
        for quantizer in before:
            quantizer.enabled = False
        yield
    finally:
        for quantizer, enabled in before.items():
            quantizer.enabled = enabled


def anneal(model: nn.Module, temperature: float) -> None:
    """Set the temperature of drawn or relaxed lookups: of every estimator, bitcode and memory code.

    The temperature of an entropy loss (`Entropy`, `Diversity`, `LFQ`, `BSQ`) does not change. Compiled models are
    recompiled for each value.

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
