"""A revival rule of your own: one frozen dataclass, and every quantizer takes it.

    python custom_part.py

Dead codes usually move to rows of the last batch (`BelowShare`). This rule moves them next to the most used code
instead, so that the crowded place gets more of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

import codeword
from codeword.axes import Revival, State
from codeword.functional import Key, Purpose


@dataclass(frozen=True)
class NextToTheBusiest(Revival):
    """Dead: below `share` of the mean count. They go where the busiest code is, a little beside it."""

    share: float = 0.05
    spread: float = 0.01

    def candidates(self, codebook_size: int) -> int:
        return 0  # rows of the batch that it wants to be kept for it

    def dead(self, state: State) -> Tensor:
        return state["cluster_size"] < self.share * state["cluster_size"].mean(-1, keepdim=True)

    def replacements(self, candidates: Tensor, codes: Tensor, state: State, key: Key) -> Tensor:
        busiest = state["cluster_size"].argmax(-1)[..., None, None]  # codes are (..., K, D)
        noise = key.normal(Purpose.NOISE, *codes.shape).to(codes.dtype)
        return codes.take_along_dim(busiest, -2) + self.spread * codes.std((-2, -1), keepdim=True) * noise


if __name__ == "__main__":
    torch.manual_seed(0)
    for revival in (None, NextToTheBusiest(), codeword.revivals.BelowShare()):
        vq = codeword.VectorQuantizer(
            8, 256, update=codeword.EMA(init=codeword.inits.Normal(), revival=revival)
        )
        for _ in range(300):
            vq(torch.randn(1024, 8) * 0.5 + 3.0)  # nowhere near the codes that it starts with
        vq.reset_usage()
        rows = torch.randn(4096, 8) * 0.5 + 3.0
        vq(rows)
        error = (vq.eval()(rows).quantized - rows).square().mean() / rows.var()
        print(f"{revival!s:50}  codes used {int(vq.usage().used):3d} of 256   relative error {error:.3f}")
