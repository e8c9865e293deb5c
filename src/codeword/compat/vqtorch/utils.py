"""Find the VQ layers of a model, and switch them off temporarily."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from torch import nn

from codeword.compat.vqtorch.nn.layer import Layer
from codeword.errors import CodewordError

__all__ = ["get_vq_layers", "is_vq", "is_vqn", "no_vq"]


def is_vq(m: Any) -> bool:
    """Whether it is a VQ layer."""
    return isinstance(m, Layer)


def is_vqn(net: nn.Module) -> bool:
    """Whether there is a VQ layer in it."""
    return bool(get_vq_layers(net))


def get_vq_layers(model: nn.Module) -> list[Layer]:
    """The VQ layers of a model."""
    return [module for module in model.modules() if isinstance(module, Layer)]


class no_vq:
    """Switch the VQ layers of some modules off while the block runs, and restore each afterwards.

    Args:
        modules: one, or a list or tuple of several.

    Raises:
        CodewordError: without modules: say which.

    Examples:
        >>> import torch
        >>> from codeword.compat.vqtorch import VectorQuant
        >>> model, x = nn.Sequential(VectorQuant(8, 16)), torch.randn(2, 8, 5)
        >>> with no_vq(model):
        ...     bool((model(x)[0] == x).all())
        True
    """

    def __init__(self, modules: nn.Module | Sequence[nn.Module] | None = None) -> None:
        several = list(modules) if isinstance(modules, list | tuple) else [modules]
        for module in several:
            if not isinstance(module, nn.Module):
                raise CodewordError.of(
                    "a module or a list of modules", repr(module), "write `with no_vq(model):`"
                )
        self.modules = [module for module in several if isinstance(module, nn.Module)]
        self._before: list[tuple[Layer, bool]] = []

    def __enter__(self) -> no_vq:
        layers = [layer for module in self.modules for layer in get_vq_layers(module)]
        self._before = [(layer, layer.enabled) for layer in layers]
        for layer in layers:
            layer.enabled = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for layer, enabled in self._before:
            layer.enabled = enabled
