"""What a compiled step writes, kept for its backward."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

__all__ = ["hold"]

_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define("hold(Tensor value) -> Tensor")
_LIBRARY.impl("hold", torch.clone, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::hold", torch.empty_like, lib=_LIBRARY)


def hold(value: Tensor) -> Tensor:
    """The value itself; while torch.compile traces a step, a copy that backward is sure to find again.

    For what a training step writes into state that a gradient depends on: `state.copy_(hold(value))`. A compiled
    backward may compute again what forward computed from the state, beginning with the state as it then is, after it
    was written to: gradients are wrong, and nothing says so (torch 2.13; pull request 197039 there is about it).
    What an operator that it does not know has returned, it keeps.

    Examples:
        >>> step = torch.tensor(3)
        >>> hold(step) is step, int(torch.ops.codeword.hold(step))
        (True, 3)
    """
    if not torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return value
    held: Tensor = torch.ops.codeword.hold.default(value)
    return held
