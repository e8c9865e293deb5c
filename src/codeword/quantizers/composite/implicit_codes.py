"""The network of a stage whose codes depend on the sum of those before."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.codebooks.data_initialized import keep_wide, wide
from codeword.transforms.learned_spread import ZeroLinear

__all__ = ["ImplicitCodes"]


class ImplicitCodes(nn.Module):
    """Codes of a stage, given the sum s of those before it: c + u P (z * (A c / u + a)), z of L residual blocks.

        z_0 = B (s - m) / b        z_l = z_(l-1) + V_l relu(U_l z_(l-1))

    The blocks see the sum alone, so they run once for all candidates of a partial sum: they scale learned features of
    the code, and shift it. u is the root mean square of the codes of the stage; m is the mean and b the root mean
    square deviation of the codes of the first stage. So the network does not depend on the scale. P starts at zero, so
    that the codes start unchanged.

    Args:
        features: size of a code, D.
        hidden: width of z, of the blocks and of the features of a code.
        blocks: L.
        device: of the parameters.
        dtype: of the parameters, float32 or wider; halves and None mean float32.
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        blocks: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dtype = wide(dtype)
        self.of_code = nn.Linear(features, hidden, device=device, dtype=dtype)
        self.of_sum = nn.Linear(features, hidden, bias=False, device=device, dtype=dtype)
        widen = [nn.Linear(hidden, hidden, device=device, dtype=dtype) for _ in range(blocks)]
        narrow = [nn.Linear(hidden, hidden, device=device, dtype=dtype) for _ in range(blocks)]
        self.widen, self.narrow = nn.ModuleList(widen), nn.ModuleList(narrow)
        self.out = ZeroLinear(hidden, features, device=device, dtype=dtype)

    def forward(self, index: Tensor, sums: Tensor, stage: Tensor, first: Tensor) -> Tensor:
        """The requested codes (..., D) of a stage.

        Args:
            index: of the codes, (...).
            sums: of the codes before, broadcast against (..., D).
            stage: all codes (K, D) of the stage.
            first: all codes (K, D) of the first stage.
        """
        tiny = torch.finfo(stage.dtype).tiny  # below the root, whose slope at 0 is infinite
        unit = stage.square().mean().clamp_min(tiny).sqrt()
        mean = first.mean(0)
        deviation = (first - mean).square().mean().clamp_min(tiny).sqrt()
        z = self.of_sum((sums - mean) / deviation)
        for widen, narrow in zip(self.widen, self.narrow, strict=True):
            z = z + narrow(F.relu(widen(z)))
        codes: Tensor = stage[index] + unit * self.out(z * self.of_code(stage / unit)[index])
        return codes

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ImplicitCodes:
        return super()._apply(keep_wide(fn), recurse)
