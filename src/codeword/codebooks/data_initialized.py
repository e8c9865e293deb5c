"""Learners whose state is initialized from the first batch, and that can be frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from codeword.codebooks.learner import Learner
from codeword.functional import Valid

__all__ = ["DataInitialized", "keep_wide", "wide"]

_HALVES = (torch.float16, torch.bfloat16)


def wide(dtype: torch.dtype | None) -> torch.dtype:
    """The dtype of state: float32 in place of a half, or of None."""
    return torch.float32 if dtype is None or dtype in _HALVES else dtype


def keep_wide(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function for `nn.Module._apply` that moves a tensor as `fn` does, and casts it to no half."""

    def moved(tensor: Tensor) -> Tensor:
        out = fn(tensor)
        return tensor.to(out.device) if out.dtype in _HALVES else out

    return moved


class DataInitialized(Learner):
    """A learner that is not `ready` before its first batch, and learns nothing while `frozen`.

    Both are saved with the module. Plain attributes mirror the buffers, so that a step need not ask the device.
    `.half()` and `.bfloat16()` move the state and leave its precision.
    """

    initialized: Tensor
    is_frozen: Tensor
    ready: bool  # mirrors `initialized`
    _frozen: bool  # mirrors `is_frozen`

    def _register_start(self, device: torch.device | str | None) -> None:
        self.register_buffer("initialized", torch.empty((), device=device, dtype=torch.bool))
        self.register_buffer("is_frozen", torch.empty((), device=device, dtype=torch.bool))

    def _set_ready(self, ready: bool) -> None:
        self.initialized.fill_(ready)
        self.ready = ready

    @property
    def frozen(self) -> bool:
        """Whether codes neither learn nor are revived, but are only counted; saved with the module."""
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = frozen
        with torch.no_grad():
            self.is_frozen.fill_(frozen)

    def _may_init(self, valid: Valid) -> bool:
        """Whether the first numbers may come from a batch: not while frozen, nor from one without a valid row."""
        if self.frozen or not valid.max_total():
            return False
        # A compiled first batch must have a valid row.
        return torch.compiler.is_compiling() or bool(valid.total)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(keep_wide(fn), recurse)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        for name, mirror in (("initialized", "ready"), ("is_frozen", "_frozen")):
            value = state_dict.get(prefix + name)
            if value is not None and not value.is_meta:
                setattr(self, mirror, bool(value))
