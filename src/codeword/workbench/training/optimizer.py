"""An optimizer's state as named tensors and plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["pack", "unpack"]


def pack(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Tensors named `parameter.what`, and the settings of the parameter groups."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value for index, one in state["state"].items() for name, value in one.items()
    }
    return tensors, state["param_groups"]


def unpack(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Put packed state into an optimizer of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
