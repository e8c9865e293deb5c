"""`Sequential`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from codeword.compat.state import Facade
from codeword.errors import CodewordError

__all__ = ["Sequential"]


class Sequential(nn.Module):
    """Modules in sequence, one of them a layer of this library. Its other results are returned after the output.

    Args:
        fns: the modules.

    Raises:
        CodewordError: there is no such layer, or more than one.

    Examples:
        >>> import torch
        >>> from codeword.compat.vector_quantize_pytorch import VectorQuantize
        >>> model = Sequential(nn.Linear(4, 8), VectorQuantize(8, 16), nn.Linear(8, 4))
        >>> out, indices, loss = model(torch.randn(2, 10, 4))
        >>> out.shape, indices.shape
        (torch.Size([2, 10, 4]), torch.Size([2, 10]))
    """

    def __init__(self, *fns: nn.Module) -> None:
        super().__init__()
        count = sum(isinstance(fn, Facade) for fn in fns)
        if count != 1:
            raise CodewordError.of("one layer of this library among the modules", f"{count}", "pass one")
        self.fns = nn.ModuleList(fns)

    def forward(self, x: Tensor, **kwargs: Any) -> tuple[Any, ...]:
        """The output of the last module, and the other results of the layer; options are passed to the layer."""
        rest: tuple[Any, ...] = ()
        for fn in self.fns:
            if isinstance(fn, Facade):
                x, *others = fn(x, **kwargs)
                rest = tuple(others)
            else:
                x = fn(x)
        return x, *rest
