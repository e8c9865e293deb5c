"""The rotation trick."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.parts.axes import Estimator, Lookup

__all__ = ["Rotation"]


@dataclass(frozen=True)
class Rotation(Estimator):
    """The gradient turns with the input: dq/dx = l R, where R rotates x onto the direction of its code.

    With x^ = x / |x|, c^ = c / |c| and r the unit vector between them, all held constant:

        R = I - 2 r r^T + 2 c^ x^^T        l = |c| / |x|

    Where x and its code point opposite ways R is the reflection that maps one to the other. A row of zeros is handed
    its gradient unchanged. Far from the origin this tends to straight-through; the ratio l amplifies gradients where
    codes are much longer than rows, so try `scaled=False` if training diverges.

    Args:
        scaled: whether l is in the product.

    Source: Fifty et al. 2024 (arXiv:2410.06424), equations 2 to 4; without l: its table 6.
    """

    scaled: bool = True

    def surrogate(self, lookup: Lookup) -> Tensor:
        x, q = lookup.rows.detach(), lookup.q.detach()
        length, target = (torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (x, q))
        x_hat, q_hat = F.normalize(x, dim=-1), F.normalize(q, dim=-1)
        r = F.normalize(x_hat + q_hat, dim=-1)
        moving = lookup.rows
        turned = moving - 2 * r * _dot(r, moving) + 2 * q_hat * _dot(x_hat, moving)
        if self.scaled:
            turned = turned * (target / length.clamp_min(torch.finfo(x.dtype).tiny))
        return torch.where((length > 0) & (target > 0), turned, moving)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)
