"""What a compiled step writes, kept for its backward."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.torch_versions import is_exporting

__all__ = ["clone_for_backward"]

_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define("clone_for_backward(Tensor value) -> Tensor")
_LIBRARY.impl("clone_for_backward", torch.clone, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::clone_for_backward", torch.empty_like, lib=_LIBRARY)


def clone_for_backward(value: Tensor) -> Tensor:
    """The value itself; while torch.compile traces a step, a copy that backward is sure to find again.

    For what a training step writes into state that a gradient depends on: `state.copy_(clone_for_backward(value))`.
    Otherwise a compiled backward may compute again what forward computed from the state, beginning with the state as
    it then is, after it was written to: gradients are wrong, and nothing says so (torch 2.13; its pull request 197039).
    The partitioner saves the output of an opaque operator and never recomputes it.

    Examples:
        >>> step = torch.tensor(3)
        >>> clone_for_backward(step) is step, int(torch.ops.codeword.clone_for_backward(step))
        (True, 3)
    """
    if not torch.compiler.is_compiling() or is_exporting():
        return value
    cloned: Tensor = torch.ops.codeword.clone_for_backward.default(value)
    return cloned
