"""`torchtools.vq`, as documented: a layer with two results, and Binarize."""

from __future__ import annotations

from torch import Tensor, nn

from codeword.compat.torchtools.functional.vq import binarize
from codeword.compat.torchtools.layer import Losses, VectorQuantizeLayer

__all__ = ["Binarize", "VectorQuantize"]


class VectorQuantize(VectorQuantizeLayer):
    __doc__ = (
        (VectorQuantizeLayer.__doc__ or "")
        + """
    Returns (forward):
        quantized like x, and (vq_loss, commit_loss), scalars that you weigh: about 0.25 commit_loss, and vq_loss
        where the codes learn by gradient. `encode` gives the indices.

    Examples:
        >>> import torch
        >>> vquantizer = VectorQuantize(8, k=32, ema_loss=True)
        >>> qe, (vq_loss, commit_loss) = vquantizer(torch.randn(1, 16, 16, 8))
        >>> qe.shape, commit_loss.shape
        (torch.Size([1, 16, 16, 8]), torch.Size([]))
    """
    )

    def forward(self, x: Tensor, get_losses: bool = True) -> tuple[Tensor, Losses]:
        """See the class.

        Args:
            x: (..., embedding_size).
            get_losses: False: the losses are (None, None).
        """
        quantized, losses, _ = self._quantize(x, get_losses, -1)
        return quantized, losses


class Binarize(nn.Module):
    """Each number becomes 1 above the threshold and 0 elsewhere; the gradient goes through unchanged.

    Args:
        threshold: what a number must exceed.

    Examples:
        >>> import torch
        >>> Binarize(threshold=0)(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 1.])
    """

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Zeros and ones of x's shape and dtype."""
        return binarize.apply(x, self.threshold)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}"
