"""`ResidualVectorQuant`: each stage quantizes the residual of the stages before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from codeword.codebooks import Codebook
from codeword.compat.vqtorch.nn.gvq import Several
from codeword.compat.vqtorch.nn.layer import Info, reduced
from codeword.quantizers import Quantizer, Residual, VectorQuantizer

__all__ = ["ResidualVectorQuant"]


class ResidualVectorQuant(Several):
    """`groups` stages, each with its own codes or all with the same; the loss is that of their sum.

    Args:
        feature_size: of a vector.
        num_codes: how many codes; with share=False those of all stages together.
        groups: how many stages.
        share: whether all have the same codes.
        options: as for `GroupVectorQuant`.

    Returns (forward):
        as `VectorQuant`, with `z_res` (..., groups + 1, features), the residual before each stage and after the last.

    Examples:
        >>> vq = ResidualVectorQuant(feature_size=32, num_codes=64, groups=4)
        >>> z_q, info = vq(torch.randn(2, 32, 5, 5))
        >>> info["q"].shape, info["z_res"].shape
        (torch.Size([2, 5, 5, 4]), torch.Size([2, 5, 5, 5, 32]))
    """

    def arrange(self, build: Callable[[int, int], VectorQuantizer]) -> Quantizer:
        return Residual(self.each(self.feature_size, build))

    def describe(self, z: Tensor, codes: Tensor, old: Tensor) -> Info:
        z_q = codes.sum(-2, keepdim=True)
        left = torch.cat([z, z - codes.cumsum(-2)], -2)
        before = torch.cat([z.detach(), z.detach() - old.cumsum(-2)], -2)[..., :-1, :]
        d = torch.linalg.vector_norm(before - old, dim=-1)
        return {"z": z, "z_q": z_q, "d": d, "z_res": left}

    def loss_of(self, z: Tensor, z_q: Tensor, mean: Tensor) -> Tensor:
        """The loss of the sum of the stages, by `reduction`."""
        return reduced(self.compute_loss(z, z_q), self.reduction)

    def seen_by_books(self, info: Info) -> Iterator[tuple[Codebook, Tensor, Tensor]]:
        """Each codebook with the residuals that it was searched for, and the indices found in it."""
        return super().seen_by_books(info | {"z": info["z_res"][..., :-1, :]})
