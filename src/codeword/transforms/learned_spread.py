"""Standard deviations of the codes, learned by a small network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.axes import Transform, TransformModule
from codeword.checks import at_least, between
from codeword.functional import clone_for_backward
from codeword.transforms.moments import FollowsRows, variance

__all__ = ["LearnedSpread", "network"]


@dataclass(frozen=True)
class LearnedSpread(Transform):
    """c' = mu_x + alpha (c - mu_c) / sigma_c, where a network decides the standard deviation alpha of each feature.

    For feature f the network reads the K values z = (c - mu_c) / sigma_c of that feature in the codebook, which do not
    depend on the scale of the rows:

        alpha_f = sigma_x,f softplus(net([z_1f ... z_Kf]) + softplus^-1(1))

    The last layer starts at zero, so alpha starts at the spread of the rows. Penalties on alpha: `LargeAlpha`,
    `UnitAlpha`, `GrowingAlpha`.

    Args:
        hidden: width of the two hidden layers; None: K / 4, from 1 to 256.
        momentum: share of a new batch in the running moments of the rows.

    Source: "approach 1" of Soft-discretization (semivq), where alpha = ELU(BatchNorm(...)) can be negative and depends
    on the mode; positive, and without the batch norm, it is our own.
    """

    hidden: int | None = None
    momentum: float = 0.1
    learns = True
    has_alpha = True

    def __post_init__(self) -> None:
        if self.hidden is not None:
            at_least("hidden of LearnedSpread", self.hidden, 1)
        between("momentum of LearnedSpread", self.momentum, 0, 1)

    def build(self, codebook_size: int, features: int) -> TransformModule:
        hidden = self.hidden or min(max(1, codebook_size // 4), 256)
        return _LearnedSpread(codebook_size, features, hidden, self.momentum)


class _LearnedSpread(FollowsRows):
    def __init__(self, codebook_size: int, features: int, hidden: int, momentum: float) -> None:
        super().__init__(features, momentum)
        self.network = network(codebook_size, hidden)
        self.register_buffer("step", torch.empty((), dtype=torch.int64))
        self.reset_parameters()

    step: Tensor

    def reset_parameters(self) -> None:
        self.step.zero_()

    def forward(self, codes: Tensor) -> Tensor:
        return self.rows.mean + self.alpha(codes) * _standard(codes, codes.detach())

    def inverse(self, searched: Tensor, codes: Tensor) -> Tensor:
        """Within the range of the codes: beyond it a vanishing alpha would send code after code ever further out."""
        away = (searched - self.rows.mean) / self.alpha(codes).clamp_min(1e-20)
        lowest, highest = codes.aminmax(dim=0)
        return (away * variance(codes).sqrt() + codes.mean(0)).clamp(lowest, highest)

    def alpha(self, codes: Tensor) -> Tensor:
        spread = self.rows.variance.sqrt()
        one = torch.expm1(torch.ones_like(spread)).log()  # softplus of this is 1
        fixed = codes.detach()  # a feature with nearly equal codes would have an unbounded gradient
        return spread * F.softplus(self.network(_standard(fixed, fixed).T)[:, 0] + one)

    def update_(self, statistics: Tensor | None) -> None:
        super().update_(statistics)
        self.step.copy_(clone_for_backward(self.step + 1))


def _standard(codes: Tensor, of: Tensor) -> Tensor:
    """Codes less the mean, over the standard deviation, of the codes `of`."""
    return (codes - of.mean(0)) / variance(of).sqrt()


def network(inputs: int, hidden: int) -> nn.Sequential:
    """Three linear layers with ELU between them and one output, which is 0 at the start."""
    first, second = (nn.Linear(width, hidden, dtype=torch.float32) for width in (inputs, hidden))
    return nn.Sequential(first, nn.ELU(), second, nn.ELU(), ZeroLinear(hidden, 1, dtype=torch.float32))


class ZeroLinear(nn.Linear):
    """A linear layer whose weights start at zero."""

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
