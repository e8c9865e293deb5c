"""All codes through a small transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from codeword.axes import Transform, TransformModule
from codeword.checks import at_least
from codeword.errors import CodewordError
from codeword.transforms.learned_spread import ZeroLinear

__all__ = ["Bridge"]


@dataclass(frozen=True)
class Bridge(Transform):
    """c' = c + recover(process(compress(c))): unused codes move with the used ones, because attention connects them.

    `patch` codes at a time become one token of `width` features (compress), the tokens go through blocks of attention
    and a perceptron, each behind a layer norm (process), and come back as codes (recover). The tokens have no
    positions. The sum with c is our own, and `recover` begins at zero, so that first codes from data stay.

    A step costs a pass of K / patch tokens through the blocks, in memory too. After training, `vq.codebook.searched()`
    are the codes of an equivalent plain quantizer.

    Args:
        width: of a token; `heads` divide it.
        depth: how many blocks.
        heads: of the attention.
        patch: how many codes are one token.

    Raises:
        CodewordError: a number below 1, or a width that heads do not divide.

    Source: VQBridge of FVQ, Chang et al. 2025 (arXiv:2509.10140).
    """

    width: int = 64
    depth: int = 2
    heads: int = 4
    patch: int = 8
    learns = True
    invertible = False

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "patch"):
            at_least(f"{name} of Bridge", getattr(self, name), 1)
        if self.width % self.heads:
            raise CodewordError.of(
                f"a width that {self.heads} heads divide", f"{self.width}", "pass another number of heads"
            )

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _Bridge(self, codebook_size, features)


class _Bridge(TransformModule):
    def __init__(self, rule: Bridge, codebook_size: int, features: int) -> None:
        super().__init__()
        self.patch = min(rule.patch, codebook_size)
        inner = self.patch * features
        self.compress = nn.Linear(inner, rule.width, dtype=torch.float32)
        self.process = nn.Sequential(*(_Block(rule.width, rule.heads) for _ in range(rule.depth)))
        self.recover = ZeroLinear(rule.width, inner, dtype=torch.float32)

    def forward(self, codes: Tensor) -> Tensor:
        size, features = codes.shape
        filled = functional.pad(codes, (0, 0, 0, -size % self.patch))
        tokens = filled.reshape(-1, self.patch * features)
        moved = self.recover(self.process(self.compress(tokens)))
        return codes + moved.reshape(-1, features)[:size]


class _Block(nn.Module):
    """Attention and a perceptron, each with a layer norm before it and a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, dtype=torch.float32)
        self.attend = nn.Linear(width, 3 * width, dtype=torch.float32)
        self.unite = nn.Linear(width, width, dtype=torch.float32)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width, dtype=torch.float32),
            nn.Linear(width, 4 * width, dtype=torch.float32),
            nn.GELU(),
            nn.Linear(4 * width, width, dtype=torch.float32),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = (
            self.attend(self.norm(tokens)).unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)
        )
        attended = functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]
        tokens = tokens + self.unite(attended.transpose(0, 1).flatten(1))
        out: Tensor = tokens + self.perceptron(tokens)
        return out
