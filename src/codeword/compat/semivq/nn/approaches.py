"""The three approaches: a learned standard deviation, a learned shift, and a shift for each code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codeword.axes import TransformModule
from codeword.compat.semivq.nn.mlp import MLP
from codeword.compat.vqtorch.nn.affine import AffineTransform
from codeword.compat.vqtorch.nn.table import Shift
from codeword.transforms import CodeGamma

__all__ = ["LearnedStd", "MLPShift", "code_shift"]


class LearnedStd(AffineTransform):
    """Approach 1: c' = bias + alpha c, with the bias of running moments and alpha from a network.

    For each feature the network sees its K values in the codebook, and the scale and bias that the running moments
    would give. (codeword's own `LearnedSpread` keeps alpha positive and the codes about the mean of the inputs.)

    Args:
        feature_size: of a code.
        num_codes: K.
        norms: of the `MLP`.

    Source: use_learnable_std of semivq.
    """

    def __init__(self, feature_size: int, num_codes: int, norms: int) -> None:
        super().__init__(feature_size, use_running_statistics=True)
        self.mlp_std = MLP(num_codes + 2, max(1, num_codes // 4), norms)

    def params_for(self, codebook: Tensor) -> tuple[Tensor, Tensor]:
        _, bias = self.get_affine_params()
        return self.mlp_std(self._columns(codebook)).T[:, None], bias

    def begin(self, rows: Tensor, codebook: Tensor) -> None:
        super().begin(rows, codebook)
        self.mlp_std.learn(self._columns(codebook))

    def _columns(self, codebook: Tensor) -> Tensor:
        scale, bias = self.get_affine_params()
        return torch.cat([codebook, scale[:, 0], bias[:, 0]]).T


class MLPShift(Shift):
    """Approach 2: one shift for all codes, for each feature from its K values in the codebook that is searched.

    Args:
        feature_size: of a code.
        num_codes: K.
        norms: of the `MLP`.

    Source: use_learnable_gamma of semivq.
    """

    def __init__(self, feature_size: int, num_codes: int, norms: int) -> None:
        super().__init__()
        self._layer = MLP(num_codes, feature_size, norms)

    def output(self, codes: Tensor) -> Tensor:
        return codes + self._layer(codes.T)[:, 0]

    def begin(self, codes: Tensor) -> None:
        self._layer.learn(codes.T)


def code_shift(feature_size: int, num_codes: int) -> TransformModule:
    """Approach 3: codeword's `CodeGamma`, with the start of the original.

    Source: gamma_policy="personalize" of semivq.
    """
    with torch.random.fork_rng(devices=[]):
        module = CodeGamma(moments_learn=True).build(num_codes, feature_size)
    for name in ("first", "second"):
        setattr(module, name, _convolution(feature_size))
    return module


def _convolution(features: int) -> nn.Conv1d:
    return nn.Conv1d(features, features, 2, groups=features, dtype=torch.float32)
