"""A shift that is learned and added after lookup."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.axes import Transform, TransformModule
from codeword.transforms.learned_spread import network

__all__ = ["CodeGamma", "Gamma"]


@dataclass(frozen=True)
class Gamma(Transform):
    """q = c_k + gamma, one shift for all codes, which a network computes from the codebook, feature by feature.

    For feature f it sees the K values of that feature: gamma_f = net([c_1f ... c_Kf]), 0 at the start. The search does
    not see gamma; it is learned from the codebook loss, and by `StraightThrough(sync=...)` from the task.

    Args:
        bounded: whether gamma is ELU(net), above -1, as in the newest code of the original (which has batch norms too).

    Source: "approach 2" of Soft-discretization (semivq), gamma_policy="default".
    """

    bounded: bool = False
    learns = True

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _Gamma(codebook_size, features, self.bounded)


class _Gamma(TransformModule):
    def __init__(self, codebook_size: int, features: int, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded
        self.network = network(codebook_size, features)

    def output(self, codes: Tensor) -> Tensor:
        gamma = self.network(codes.T)[:, 0]
        return codes + (F.elu(gamma) if self.bounded else gamma)


@dataclass(frozen=True)
class CodeGamma(Transform):
    """q = c_k + gamma(c_k), a shift for each code: a small network for each feature, over mean, value and variance.

    With m_f and v_f the mean and variance of feature f over the codebook, and weights and biases a feature:

        gamma_f(c) = w3 relu(w1 m_f + w2 c_f + b1) + w4 relu(w1 c_f + w2 v_f + b1) + b2

    w3, w4 and b2 are 0 at the start. It depends on the code alone, so indices decode.

    Args:
        moments_learn: whether the gradient also reaches all codes through m and v, as in the original.

    Source: "approach 3" of Soft-discretization (semivq), gamma_policy="personalize": two depthwise convolutions of
    size 2 over the stack [mean, value, variance].
    """

    moments_learn: bool = False
    learns = True

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _CodeGamma(features, self.moments_learn)


class _CodeGamma(TransformModule):
    def __init__(self, features: int, moments_learn: bool) -> None:
        super().__init__()
        self.moments_learn = moments_learn
        self.first = nn.Conv1d(features, features, 2, groups=features, dtype=torch.float32)
        self.second = _ZeroConv1d(features, features, 2, groups=features, dtype=torch.float32)

    def output(self, codes: Tensor) -> Tensor:
        fixed = codes if self.moments_learn else codes.detach()
        mean, spread = fixed.mean(0).expand_as(codes), fixed.var(0, correction=0).expand_as(codes)
        stack = torch.stack([mean, codes, spread], -1)  # (K, D, 3)
        return codes + self.second(self.first(stack).relu())[..., 0]


class _ZeroConv1d(nn.Conv1d):
    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
