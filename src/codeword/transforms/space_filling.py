"""Codes as random points of a curve through all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Transform, TransformModule
from codeword.functional import Key, Purpose, clone_for_backward

__all__ = ["SpaceFilling"]


@dataclass(frozen=True)
class SpaceFilling(Transform):
    """Codes `(1 - t_k) c_k + t_k c_(k+1)`, with t_k uniform over 0 to 1 and drawn anew in each training step.

    The codes are the vertices of a closed polygon (the last one is followed by the first), and rows are quantized to
    points of it. Both ends of a segment learn from each of its rows, so no code becomes dead and none needs revival. In
    eval the points are those of the last training step, saved with the layer, so indices decode.

    With the estimator `Directional` this is SF-DiVeQ, with one difference: SF-DiVeQ takes the directions to both ends
    of the segment, this class the direction to the point.

    Source: "DiVeQ", 2025 (arXiv:2509.26469), section 3.2.
    """

    invertible = False

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _SpaceFilling(codebook_size)


class _SpaceFilling(TransformModule):
    writes = True

    def __init__(self, codebook_size: int) -> None:
        super().__init__()
        self.register_buffer("place", torch.empty(codebook_size, 1, dtype=torch.float32))
        self.reset_parameters()

    place: Tensor

    def reset_parameters(self) -> None:
        self.place.fill_(0.5)

    def forward(self, codes: Tensor) -> Tensor:
        return codes.lerp(codes.roll(-1, 0), self.place)

    def begin_step_(self, key: Key) -> None:
        self.place.copy_(clone_for_backward(key.uniform(Purpose.SEGMENT, *self.place.shape)))
