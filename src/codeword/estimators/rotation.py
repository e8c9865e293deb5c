"""The rotation trick."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Estimator, Lookup
from codeword.functional import rotated

__all__ = ["Rotation"]


@dataclass(frozen=True)
class Rotation(Estimator):
    """The gradient turns with the input: dq/dx = l R, where R rotates x onto the direction of its code.

    With x^ = x / |x|, c^ = c / |c| and r the unit vector between them, all held constant:

        R = I - 2 r r^T + 2 c^ x^^T        l = |c| / |x|

    If x and its code have opposite directions, R is the reflection that maps one to the other. A row of zeros gets its
    gradient unchanged. Far from the origin this approaches straight-through. The ratio l amplifies gradients if codes
    are much longer than rows, so try `scaled=False` if training diverges.

    Args:
        scaled: whether l is in the product.

    Source: Fifty et al. 2024 (arXiv:2410.06424), equations 2 to 4; without l: its table 6.
    """

    scaled: bool = True

    def surrogate(self, lookup: Lookup) -> Tensor:
        return rotated(lookup.rows, lookup.q, scaled=self.scaled)
