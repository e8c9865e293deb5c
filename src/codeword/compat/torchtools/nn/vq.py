"""`torchtools.nn.vq`: the later layer with three results, and finite scalar quantization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.bounds import Logit
from codeword.checkpoints.importers.table import KeyTable
from codeword.checkpoints.importers.torchtools import table_of
from codeword.compat.state import Facade
from codeword.compat.torchtools.layer import Losses, VectorQuantizeLayer
from codeword.compat.torchtools.vq import Binarize
from codeword.quantizers import FSQ as FiniteScalar

__all__ = ["FSQ", "Binarize", "VectorQuantize"]


class VectorQuantize(VectorQuantizeLayer):
    __doc__ = (
        (VectorQuantizeLayer.__doc__ or "")
        + """
    Returns (forward):
        quantized like x, (vq_loss, commit_loss), scalars that you weigh, and the indices, x's shape without `dim`.

    Examples:
        >>> vq = VectorQuantize(8, k=32)
        >>> q, (vq_loss, commit_loss), indices = vq(torch.randn(2, 8, 4, 5), dim=1)
        >>> q.shape, indices.shape, bool((vq.idx2vq(indices, dim=1) == q).all())
        (torch.Size([2, 8, 4, 5]), torch.Size([2, 4, 5]), True)
    """
    )

    def forward(self, x: Tensor, get_losses: bool = True, dim: int = -1) -> tuple[Tensor, Losses, Tensor]:
        """See the class.

        Args:
            x: features on axis `dim`.
            get_losses: False: the losses are (None, None).
            dim: the axis of the features.
        """
        return self._quantize(x, get_losses, dim)


class FSQ(Facade):
    """Finite scalar quantization of sigmoids, back as logits.

    Args:
        bins: how many levels each number has.
        dim: the axis of the features.
        eps: sigmoids are kept within eps to 1 - eps.

    Returns (forward):
        the quantized numbers like x, and the indices, x's shape without `dim`, the first number least significant.

    Examples:
        >>> fsq = FSQ([8, 5, 5, 5])
        >>> q, indices = fsq(torch.randn(2, 7, 4))
        >>> q.shape, indices.shape, bool((fsq.idx_to_vq(indices) == q).all())
        (torch.Size([2, 7, 4]), torch.Size([2, 7]), True)
    """

    def __init__(self, bins: Sequence[int], dim: int = -1, eps: float = 0.1) -> None:
        super().__init__()
        self.quantizer = FiniteScalar(len(bins), tuple(bins), dim=dim, bound=Logit(eps))
        self.dim = dim
        self.eps = eps
        self.codebook_size = self.quantizer.codebook_size

    @property
    def bins(self) -> Tensor:
        """The levels of each number (D,)."""
        return self.quantizer.grid.levels

    @property
    def bases(self) -> Tensor:
        """The weight of a level of each number in an index (D,)."""
        return self.key_table().write(self.state_dict())["bases"]

    def key_table(self) -> KeyTable:
        return table_of(self.quantizer).under("", "quantizer.")

    def forward(self, x: Tensor, quantize: bool = True) -> tuple[Tensor, Tensor]:
        """See the class.

        Args:
            x: features on axis `dim`.
            quantize: False: the numbers are only bounded, and the indices are those of the levels below.
        """
        if quantize:
            out = self.quantizer(x)
            return out.quantized, out.indices
        place = self.quantizer.bound.place(x.movedim(self.dim, -1), self.quantizer.grid.sizes)
        return self._values(place), self.quantizer.grid.join(place.long())

    def idx_to_vq(self, idx: Tensor) -> Tensor:
        """The quantized numbers of indices, features on axis `dim`."""
        return self.quantizer.decode(idx)

    def vq_to_idx(self, vq: Tensor) -> Tensor:
        """The indices of quantized numbers, as in `forward` and `idx_to_vq`; of equal levels, that of the outer one."""
        share = vq.movedim(self.dim, -1).sigmoid()
        level = (share * (self.bins - 1)).round()
        level = torch.where(share <= self.eps + 1e-6, 0, level)
        level = torch.where(share >= 1 - self.eps - 1e-6, self.bins - 1, level)
        return self.quantizer.grid.join(level.long())

    def _values(self, place: Tensor) -> Tensor:
        return self.quantizer.bound.value(place, self.quantizer.grid.sizes).movedim(-1, self.dim)
