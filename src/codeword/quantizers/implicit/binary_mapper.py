"""Bits that are drawn at random, and a vector for each of their combinations."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from codeword.checks import at_least
from codeword.errors import CodewordError
from codeword.functional import Purpose, over_blocks
from codeword.functional.binary_codes import bits_to_codes, code_chances, free_divergence
from codeword.quantizers.assignment import Assignment, Losses, Step
from codeword.quantizers.single_codebook import SingleCodebook

__all__ = ["BinaryMapper"]


class BinaryMapper(SingleCodebook):
    """Each vector becomes logits of bits; training draws the bits, and a learned code stands for each combination.

        l = W x + b      bit_i ~ Bernoulli(sigmoid(l_i))      k = sum_i 2^i bit_i      q = c_k

    The gradient of x is that of sum_k p(k) c_k over all codes, with p(k) the probability of the code. The drawn code
    gets the gradient of the output. Nothing pulls q towards x: everything learns only from your loss, through the
    output. In eval each bit has its more likely value. A penalty limits the information in the bits:
    `losses["divergence"]` is the mean of relu(bits log 2 - H(bits) - free), in nats.

    Args:
        features: size of a vector and of a code.
        bits: how many, 1 to 16; all 2^bits codes are stored, and each training step computes all of them.
        dim: the axis of the features.
        weight: of `divergence` in `loss`.
        free: the nats per vector without a penalty; None: half of all, bits log(2) / 2.
        device: of parameters and buffers.
        dtype: of parameters; the codebook has float32 instead of a half.

    Raises:
        CodewordError: a number out of its range.

    Source: Fleuret 2025, "The Free Transformer", its binary mapper before a linear layer (arXiv:2510.17558).

    Examples:
        >>> mapper = BinaryMapper(8, 4)
        >>> out = mapper(torch.randn(2, 10, 8))
        >>> out.indices.shape, sorted(out.losses), bool((mapper.decode(out.indices) == out.quantized).all())
        (torch.Size([2, 10]), ['divergence'], True)
    """

    spec_name = "mapper"
    size_names = ("bits",)
    trained_by_output = True
    random = True

    def __init__(
        self,
        features: int,
        bits: int,
        *,
        dim: int = -1,
        weight: float = 1.0,
        free: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, dim=dim, dtype=dtype)
        if not isinstance(bits, int) or not 1 <= bits <= 16:
            raise CodewordError.of("1 to 16 bits", repr(bits), "put more of them into Grouped or Residual")
        for name, value in (("weight", weight), ("free", 0.0 if free is None else free)):
            at_least(name, value, 0)
        self.bits, self.codebook_size = bits, 2**bits
        self.weight, self.free = weight, free
        self._build_learned_by_output(2**bits, device, dtype)
        self.project_bits = nn.Linear(features, bits, device=device, dtype=dtype)

    def _logits(self, rows: Tensor) -> Tensor:
        return self._project(self.project_bits, rows)

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        logits = self._logits(rows)
        if not step.training:
            return Assignment(bits_to_codes(logits > 0), rows, step)
        draws = step.key.uniform_at(Purpose.SELECT, step.valid.positions(), self.bits)
        return Assignment(bits_to_codes(logits.sigmoid() > draws), rows, step)

    def _losses(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Losses:
        free = self.bits * log(2) / 2 if self.free is None else self.free
        divergence = step.valid.weights(rows.dtype) @ free_divergence(self._logits(rows), free)
        return self.weight * divergence, {"divergence": divergence}

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        codes = self.codebook.codes.detach()

        def mean(logits: Tensor) -> Tensor:
            return code_chances(logits) @ codes

        return torch.cat(over_blocks(mean, self._logits(rows), len(codes))) + q
