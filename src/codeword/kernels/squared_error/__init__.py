"""A mean of squared differences as one operator, `torch.ops.codeword.squared_error`.

`squared_error(rows (G, N, D), targets (G, N, D), mask (N,) bool)` gives the mean of (rows - targets)^2 over groups,
features and the rows that are in the mask, or 0 if the mask has no row: a scalar. It is not differentiable; `serves`
tells whether a loss that needs no gradient uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.kernels.triton import host
from codeword.torch_versions import inside_transform

__all__ = ["serves", "squared_error"]


def serves(rows: Tensor) -> bool:
    """Whether a kernel computes this, and no gradient is needed."""
    apart = torch.is_grad_enabled() or torch.compiler.is_compiling() or inside_transform()
    return not apart and _has_kernel(rows)


def _has_kernel(rows: Tensor) -> bool:
    return rows.dtype == torch.float32 and not host.obstacle() and host.serves(rows)


def _squared_error(rows: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    if _has_kernel(rows):
        from codeword.kernels.squared_error import triton

        return triton.squared_error(rows, targets, mask)
    errors = (rows - targets).square().sum((0, 2)).where(mask, 0.0)
    return errors.sum() / (mask.sum() * (rows.numel() // max(1, rows.shape[1]))).clamp_min(1)


def _shape(rows: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    return rows.new_empty(())


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define("squared_error(Tensor rows, Tensor targets, Tensor mask) -> Tensor")
_LIBRARY.impl("squared_error", _squared_error, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::squared_error", _shape, lib=_LIBRARY)

squared_error = torch.ops.codeword.squared_error.default
