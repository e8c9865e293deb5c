"""The straight-through estimator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Estimator, Lookup
from codeword.checks import at_least

__all__ = ["StraightThrough"]


@dataclass(frozen=True)
class StraightThrough(Estimator):
    """The input gets the gradient of the output unchanged: dq/dx = I. The default.

    With `sync` the codes get it too: s = x + nu (c - sg c), so that ds/dx = I and ds/dc = nu I. Then the task trains
    the codes as well as the encoder, for a rule that learns by gradient.

    Args:
        sync: nu, 0 or more; 0.2 to 2 in the paper.

    Source: Bengio et al. 2013 (arXiv:1308.3432); in VQ-VAE arXiv:1711.00937; synchronised: Huh et al. 2023
    (arXiv:2305.08842).
    """

    sync: float = 0.0

    def __post_init__(self) -> None:
        at_least("sync of StraightThrough", self.sync, 0)

    @property
    def trains_codes(self) -> bool:
        return self.sync > 0

    @property
    def requires_gradient_codes(self) -> bool:
        return self.sync > 0

    def surrogate(self, lookup: Lookup) -> Tensor:
        return lookup.rows + self.sync * lookup.q if self.sync else lookup.rows
