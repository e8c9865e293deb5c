"""Convolutions along time that see nothing later."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Causal", "CausalConv1d", "CausalConvTranspose1d"]


class Causal(nn.Module):
    """A layer whose output depends on its own position and on `context` positions of the input before it."""

    context: int

    def run(self, joined: Tensor) -> Tensor:
        """The outputs of all positions of (batch, channels, context + positions) but the context's."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer, with silence before (batch, channels, positions)."""
        return self.run(F.pad(x, (self.context, 0)))


class CausalConv1d(Causal):
    """A convolution; an output has its own `stride` positions of the input as the last that it sees."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel, stride, dilation=dilation)
        self.context = dilation * (kernel - 1) + 1 - stride

    def run(self, joined: Tensor) -> Tensor:
        out: Tensor = self.conv(joined)
        return out


class CausalConvTranspose1d(Causal):
    """A transposed convolution, twice as wide as its stride: an output depends on its own position and the last."""

    context = 1

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.ConvTranspose1d(before, after, 2 * stride, stride)

    def run(self, joined: Tensor) -> Tensor:
        out: Tensor = self.conv(joined)
        return out[..., self.stride : joined.shape[-1] * self.stride]
