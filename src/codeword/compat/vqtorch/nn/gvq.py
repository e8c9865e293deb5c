"""`GroupVectorQuant`: each group of features by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from codeword.compat.vqtorch.nn.vq import VectorQuant, check_option
from codeword.quantizers import Grouped, Quantizer, VectorQuantizer

__all__ = ["GroupVectorQuant", "Several"]


class Several(VectorQuant):
    """What layers of several groups or stages have in common.

    Args:
        feature_size: of a vector.
        num_codes: how many codes; with share=False those of all groups together.
        groups: how many groups or stages.
        share: whether all have the same codes.
        options: as for `VectorQuant`; `reduction` is "none" unless you say otherwise.
    """

    groups_draw_anew = True

    def __init__(
        self, feature_size: int, num_codes: int, groups: int = 1, share: bool = True, **options: Any
    ) -> None:
        self.groups = groups
        self.share = share
        super().__init__(feature_size, num_codes, **{"reduction": "none", **options})

    @property
    def group_size(self) -> int:
        """How many codes there are for each group."""
        return len(self.books[0].codes)

    def get_codebook_by_group(self, group: int) -> tuple[Tensor, int]:
        """The codes of a group, and the index of their first."""
        return self.parts[group].codebook.codes, 0 if self.share else group * self.group_size

    def each(self, width: int, build: Callable[[int, int], VectorQuantizer]) -> list[VectorQuantizer]:
        """The vector quantizer of each group, of `width` features."""
        if self.share:
            return [build(width, self.num_codes)] * self.groups
        enough = self.num_codes >= self.groups
        check_option(
            "num_codes", self.num_codes, enough, f"of at least groups={self.groups} with share=False"
        )
        return [build(width, self.num_codes // self.groups) for _ in range(self.groups)]


class GroupVectorQuant(Several):
    """Consecutive groups of features, each with its own codes or all with the same.

    Args:
        feature_size: of a vector; `groups` divides it.
        num_codes: how many codes; with share=False those of all groups together.
        groups: how many.
        share: whether all have the same codes; otherwise indices of a group follow those of the groups before it.
        options: as for `VectorQuant`; `reduction` is "none" unless you say otherwise.

    Examples:
        >>> import torch
        >>> vq = GroupVectorQuant(feature_size=32, num_codes=64, groups=4, share=False)
        >>> z_q, info = vq(torch.randn(2, 32, 5, 5))
        >>> info["q"].shape, info["loss"].shape, vq.codebook.weight.shape
        (torch.Size([2, 5, 5, 4]), torch.Size([2]), torch.Size([64, 8]))
    """

    def arrange(self, build: Callable[[int, int], VectorQuantizer]) -> Quantizer:
        fits = self.feature_size % self.groups == 0
        check_option("feature_size", self.feature_size, fits, f"that groups={self.groups} divides")
        width = self.feature_size // self.groups
        return Grouped(self.each(width, build))
