"""What the classes of this facade share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from codeword.compat.state import Facade
from codeword.errors import CodewordError
from codeword.functional import usage

__all__ = ["check_sequence", "perplexities", "views"]


def views(module: Facade, pattern: str, count: int, **attributes: Any) -> list[SimpleNamespace]:
    """The original's inner layers, to read: an object for each, with the tensors of its keys as attributes."""
    state = module.original_state()
    layers = []
    for number in range(count):
        place = pattern.format(number)
        tensors = {key.removeprefix(place): value for key, value in state.items() if key.startswith(place)}
        layers.append(SimpleNamespace(**tensors, **attributes))
    return layers


def check_sequence(x: Tensor, channels: int, split_size: int = 1, what: str = "split_size") -> None:
    """Raise unless x is (batch, channels, length) of a length that is a multiple of split_size."""
    if x.ndim != 3:
        raise CodewordError.of(
            "x of shape [batch_size, channels, length]", f"shape {tuple(x.shape)}", "reshape the input"
        )
    if x.shape[1] != channels:
        raise CodewordError.of(
            f"{channels} channels", f"{x.shape[1]} of shape {tuple(x.shape)}", f"pass channels={x.shape[1]}"
        )
    if x.shape[2] % split_size:
        raise CodewordError.of(
            f"a length that {what}={split_size} divides", f"{x.shape[2]}", "pad or cut the sequence"
        )


def perplexities(indices: Tensor, codebook_size: int) -> Tensor:
    """The perplexity of this batch under each of the last axes' places: (..., places) to (places,)."""
    return torch.stack([usage(place, codebook_size).perplexity for place in indices.unbind(-1)])
