"""The original's two layers without sequences: one stage, and several."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from codeword.compat.quantizer_pytorch.options import Options, Sizes
from codeword.compat.quantizer_pytorch.stages import Stages

__all__ = ["BVQ", "ResidualVQ"]


class ResidualVQ(Stages):
    """The residual stages by themselves, over [batch, n, features].

    Args:
        num_residuals: how many stages.
        shared_codebook: whether they have one codebook.
        features: of a vector.
        num_heads: groups of features.
        codebook_size: codes of each group.
        options: see `Options`.

    Returns (forward):
        quantized like x, and info with `indices` [batch, num_heads, n num_residuals], the stages of a vector beside
        each other, `loss`, `perplexity`, `replaced_codes` and `budget`.
    """

    hidden = "quantize."

    def __init__(
        self,
        num_residuals: int,
        shared_codebook: bool = True,
        *,
        features: int,
        num_heads: int,
        codebook_size: int,
        **options: Any,
    ) -> None:
        sizes = Sizes("timewise", features, 1, num_heads, codebook_size, num_residuals)
        chosen = Options.of(self, {"shared_codebook": shared_codebook, **options})
        super().__init__(sizes, chosen, prints_budget=True)

    def forward(self, x: Tensor, num_residuals: int | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        quantized, indices, info = self.run(x.transpose(1, 2), num_residuals)
        return quantized.transpose(1, 2), {"indices": indices.transpose(1, 2).flatten(2), **info}

    def from_ids(self, indices: Tensor, num_residuals: int | None = None) -> Tensor:
        """The output of indices [batch, num_heads, n stages]."""
        stages = self._count(num_residuals)
        native = indices.unflatten(2, (-1, stages)).transpose(1, 2)
        native = native if self.num_groups > 1 else native.squeeze(2)
        return self.decode(native).transpose(1, 2)


class BVQ(Stages):
    """One layer by itself, over [batch, n, features].

    Args:
        features: of a vector.
        num_heads: groups of features.
        codebook_size: codes of each group.
        expire_threshold: the budget below which a code is replaced; 0: never.
        ema_decay: of the moving averages.

    Returns (forward):
        quantized like x, and info with `indices` [batch, num_heads, n], `loss`, `perplexity`, `replaced_codes` and
        `budget`.
    """

    hidden = "quantize.quantizers.0."

    def __init__(
        self,
        features: int,
        num_heads: int,
        codebook_size: int,
        expire_threshold: float = 0.05,
        ema_decay: float = 0.99,
    ) -> None:
        sizes = Sizes("timewise", features, 1, num_heads, codebook_size, 1)
        super().__init__(sizes, Options(True, expire_threshold, ema_decay), prints_budget=True)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        quantized, indices, info = self.run(x.transpose(1, 2))
        return quantized.transpose(1, 2), {"indices": indices.squeeze(-1).transpose(1, 2), **info}

    def from_ids(self, indices: Tensor) -> Tensor:
        """The output of indices [batch, num_heads, n]."""
        native = indices.transpose(1, 2).unsqueeze(-1)
        native = native if self.num_groups > 1 else native.squeeze(2)
        return self.decode(native).transpose(1, 2)
