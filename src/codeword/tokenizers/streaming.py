"""Networks of causal layers that run piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from codeword.tokenizers.audio_blocks import ResidualUnit
from codeword.tokenizers.causal import Causal

__all__ = ["State", "matches", "stream"]

State = tuple[Tensor, ...]
"""What each layer remembers of its input: (batch, channels, context) of each."""


def stream(network: nn.Sequential, x: Tensor, state: State | None) -> tuple[Tensor, State]:
    """What a network makes of the next piece of its input, and what it has to remember for the one after.

    Args:
        network: of causal layers, layers that see single positions, and residual units of both.
        x: (batch, channels, positions).
        state: from the piece before; None: this is the first, with silence before it.
    """
    kept = list[Tensor]()
    out = _run(network, x, iter(state or ()), kept)
    return out, tuple(kept)


def _run(layer: nn.Module, x: Tensor, past: Iterator[Tensor], kept: list[Tensor]) -> Tensor:
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x = _run(part, x, past, kept)
        return x
    if isinstance(layer, Causal):
        before = next(past, None)
        if before is None:
            before = x.new_zeros(*x.shape[:-1], layer.context)
        joined = torch.cat([before, x], -1)
        kept.append(joined[..., joined.shape[-1] - layer.context :].clone())
        return layer.run(joined)
    if isinstance(layer, ResidualUnit):
        return x + _run(layer.layers, x, past, kept)
    out: Tensor = layer(x)
    return out


def matches(state: Sequence[Tensor], network: nn.Module, batch: int) -> bool:
    """Whether a state is of this network and of a batch of this size."""
    wanted = [layer for layer in network.modules() if isinstance(layer, Causal)]
    return len(state) == len(wanted) and all(
        isinstance(kept, Tensor) and (kept.shape[0], kept.shape[-1]) == (batch, layer.context)
        for kept, layer in zip(state, wanted, strict=True)
    )
