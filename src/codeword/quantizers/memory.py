"""Memory codes: attention over one codebook, with keys and values."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from codeword.checks import between
from codeword.estimators import Gumbel
from codeword.functional import over_blocks, wants_gradient
from codeword.metrics import Dot
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.checks import check_size
from codeword.quantizers.single_codebook import SingleCodebook

__all__ = ["MemoryCodes"]


class MemoryCodes(SingleCodebook):
    """Each vector attends to the codes: the one with the best key is chosen, and its value is the output.

    With the codes c_k, keys W_K c_k and values W_V c_k, all of them learned:

        k = argmax_k x . (W_K c_k) / sqrt(features)        q = W_V c_k

    Nothing pulls q towards x: codes, keys and values learn only from your loss, through the output. In training the
    code is drawn by Gumbel noise on the logits, and gradients are those of softmax((logits + noise) / temperature); see
    `Gumbel`. In eval there is no noise, the codes learn through the output alone, and the gradient of x is that of
    softmax(logits / temperature). Several of them over the same vector are `Overlapped`.

    Args:
        features: size of a vector, of a code, of a key and of a value.
        codebook_size: how many codes, K.
        temperature: of the relaxation, above 0; an attribute that a schedule may set.
        dim: the axis of the features.
        device: of parameters and buffers.
        dtype: of parameters; the codebook has float32 instead of a half.

    Raises:
        CodewordError: a size below 1, or a temperature not above 0.

    Source: memory codes of NWT, Mama et al. 2021 (arXiv:2106.04283); `MQ1d` of quantizer-pytorch.

    Examples:
        >>> memory = MemoryCodes(8, 16).eval()
        >>> out = memory(torch.randn(2, 10, 8))
        >>> out.indices.shape
        torch.Size([2, 10])
        >>> bool((memory.decode(out.indices) == out.quantized).all())
        True
    """

    spec_name = "memory"
    size_names = ("codebook_size",)
    trained_by_output = True
    random = True

    def __init__(
        self,
        features: int,
        codebook_size: int,
        *,
        temperature: float = 1.0,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, dim=dim, dtype=dtype)
        check_size("codebook_size", codebook_size)
        between("temperature", temperature, 0, math.inf)
        self.codebook_size = codebook_size
        self.temperature = temperature
        self._build_learned_by_output(codebook_size, device, dtype)
        self.project_keys = _UnitVarianceLinear(features, features, bias=False, device=device, dtype=dtype)
        self.project_values = _UnitVarianceLinear(features, features, bias=False, device=device, dtype=dtype)

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        if step.training:
            indices = self._gumbel().select(rows, self.keys(), Dot(), step.valid, step.key)
        else:
            indices = Dot().assign(rows, Dot().prepare(self.keys()))
        return Assignment(indices, rows, step)

    def _embed(self, indices: Tensor) -> Tensor:
        return self.values()[indices]

    def keys(self) -> Tensor:
        """The keys that rows are compared with, (K, D)."""
        return linear(self.codebook.codes, self.project_keys.weight.to(self.dtype))

    def values(self) -> Tensor:
        """The values that form the output, (K, D). All of them, because the value of a row depends on no other row."""
        return linear(self.codebook.codes, self.project_values.weight.to(self.dtype))

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        keys, values, gumbel = self.keys(), self.values().detach(), self._gumbel()
        if step.training:
            return gumbel.relaxed(rows, keys, Dot(), values, step.valid, step.key) + q
        if not wants_gradient(rows):
            return q

        def relaxed(block: Tensor) -> Tensor:
            logits = gumbel.logits(block, keys.detach(), Dot())
            return (logits / gumbel.temperature).softmax(-1) @ values

        return torch.cat(over_blocks(relaxed, rows, len(keys))) + q

    def _gumbel(self) -> Gumbel:
        return Gumbel(self.temperature, scale=float(self.features) ** -0.5)


class _UnitVarianceLinear(nn.Linear):
    """A map that keeps the variance of its input at the start."""

    def reset_parameters(self) -> None:
        bound = (3 / self.in_features) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
