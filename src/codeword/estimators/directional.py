"""The directional reparameterisation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from codeword.axes import Estimator, Lookup
from codeword.checks import at_least
from codeword.functional import Purpose, directional_surrogate

__all__ = ["Directional"]


@dataclass(frozen=True)
class Directional(Estimator):
    """The quantization error as a length times a direction, of which only the length is differentiated (DiVeQ).

    With u the unit vector from x to its code, held constant:

        s = x + |c - x| u        ds/dx = I - u u^T        ds/dc = u u^T

    so the part of the gradient along the error moves the code, and the rest moves the input. No codebook loss is
    needed. The value is the code itself, for any noise. In a residual stack the codes of each stage get the gradient
    along their own error, and the input gets the whole gradient once.

    Its space-filling form, SF-DiVeQ, is this together with the transform `SpaceFilling` of the codes.

    Args:
        noise: standard deviation of the normal noise that is added to c - x before it becomes the direction.

    Source: "DiVeQ: Differentiable Vector Quantization Using the Reparameterization Trick", 2025 (arXiv:2509.26469);
    its code takes a noise of 1e-3.
    """

    noise: float = 1e-3
    trains_codes = True
    requires_gradient_codes = True

    def __post_init__(self) -> None:
        at_least("noise of Directional", self.noise, 0)

    @property
    def random(self) -> bool:
        return self.noise > 0

    def surrogate(self, lookup: Lookup) -> Tensor:
        direction = (lookup.q - lookup.rows).detach()
        if self.noise:
            positions = lookup.valid.positions()
            noise = lookup.key.normal_at(Purpose.DIRECTION, positions, direction.shape[1])
            direction = direction + self.noise * noise
        return directional_surrogate(lookup.rows, lookup.q, direction)
