"""What the operators share: each works on groups, and `torch.func.vmap` over an operator makes more groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["mapped"]


def mapped(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The vmap rule of an operator whose inputs and outputs have the groups as their first axis."""

    def rule(info: Any, axes: tuple[int | None, ...], *given: Any) -> tuple[Any, Any]:
        size, groups = info.batch_size, 0

        def joined(value: Any, axis: int | None) -> Any:
            nonlocal groups
            if not isinstance(value, Tensor):
                return value
            value = value.expand(size, *value.shape) if axis is None else value.movedim(axis, 0)
            groups = value.shape[1]
            return value.flatten(0, 1)

        results = operator(*map(joined, given, axes))
        if isinstance(results, Tensor):
            return results.unflatten(0, (size, groups)), 0
        return tuple(result.unflatten(0, (size, groups)) for result in results), (0,) * len(results)

    return rule
