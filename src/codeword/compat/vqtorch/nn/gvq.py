"""`GroupVectorQuant`: each group of features by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codeword.compat.vqtorch.nn.vq import VectorQuant, check_option
from codeword.quantizers import Grouped, Quantizer, VectorQuantizer

__all__ = ["GroupVectorQuant"]


class GroupVectorQuant(VectorQuant):
    """Consecutive groups of features, each with its own codes or all with the same.

    Args:
        feature_size: of a vector; `groups` divides it.
        num_codes: how many codes; with share=False those of all groups together.
        groups: how many.
        share: whether all have the same codes; otherwise indices of a group follow those of the groups before it.
        options: as for `VectorQuant`; `reduction` is "none" unless you say otherwise.

    Example:
        >>> import torch
        >>> vq = GroupVectorQuant(feature_size=32, num_codes=64, groups=4, share=False)
        >>> z_q, info = vq(torch.randn(2, 32, 5, 5))
        >>> info["q"].shape, info["loss"].shape, vq.codebook.weight.shape
        (torch.Size([2, 5, 5, 4]), torch.Size([2]), torch.Size([64, 8]))
    """

    groups_draw_anew = True

    def __init__(
        self, feature_size: int, num_codes: int, groups: int = 1, share: bool = True, **options: Any
    ) -> None:
        self.share = share
        super().__init__(feature_size, num_codes, groups=groups, **{"reduction": "none", **options})

    @property
    def group_size(self) -> int:
        """How many codes there are for each group."""
        return len(self.books[0].codes)

    def arrange(self, build: Callable[[int, int], VectorQuantizer]) -> Quantizer:
        fits = self.feature_size % self.groups == 0
        check_option("feature_size", self.feature_size, fits, f"that groups={self.groups} divides")
        width = self.feature_size // self.groups
        return Grouped(_of_groups(self.groups, self.share, width, self.num_codes, build))


def _of_groups(
    groups: int, share: bool, width: int, codes: int, build: Callable[[int, int], VectorQuantizer]
) -> list[VectorQuantizer]:
    """The vector quantizer of each group: `codes` for all of them, be they shared or not."""
    if share:
        return [build(width, codes)] * groups
    check_option("num_codes", codes, codes >= groups, f"of at least groups={groups} with share=False")
    return [build(width, codes // groups) for _ in range(groups)]
