"""Bitcodes: sums of one learned vector for each bit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codeword.checks import between
from codeword.codebooks.learner import Seen
from codeword.errors import CodewordError
from codeword.functional import Purpose, Usage, usage_of_counts
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.checks import check_size
from codeword.quantizers.implicit.base import check_digits
from codeword.quantizers.single_codebook import SingleCodebook

__all__ = ["Bitcodes"]


class Bitcodes(SingleCodebook):
    """Each bit has two learned vectors and chooses the one with the larger product with x; the output is their sum.

    q = sum_b C[b, bit_b], bit_b = [x . C[b, 1] > x . C[b, 0]]. All bits are computed at once; no bit sees the residual
    of the others. Nothing pulls q towards x: the codes learn only from your loss, through the output.

    In training the bits are drawn: a bit is 1 if the difference of its products plus logistic noise is above 0
    (hard Gumbel-softmax), and its gradient is that of sigmoid((difference + noise) / temperature). The bits returned
    are the bits drawn. In eval there is no noise.

    `indices` are the bits, (..., bits). `functional.to_indices` and `functional.regroup_bits` read them as integers,
    one, two or more positions at a time.

    Args:
        features: size of a vector.
        bits: for each vector.
        temperature: of the gradient, above 0; an attribute that a schedule may set.
        dim: the axis of the features.
        device: of parameters and buffers.
        dtype: of parameters; the codebook has float32 instead of a half.

    Raises:
        CodewordError: bits below 1 or a temperature not above 0.

    Source: bitcodes-pytorch; Jang et al. 2016 (arXiv:1611.01144) for the gradient.

    Examples:
        >>> bitcodes = Bitcodes(features=8, bits=4, temperature=10.0).eval()
        >>> out = bitcodes(torch.randn(1, 6, 8))
        >>> out.indices.shape
        torch.Size([1, 6, 4])
        >>> bool((bitcodes.from_bits(out.indices) == out.quantized).all())
        True
    """

    spec_name = "bits"
    size_names = ("bits",)
    trained_by_output = True
    random = True

    def __init__(
        self,
        features: int,
        bits: int,
        *,
        temperature: float = 1.0,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, dim=dim, dtype=dtype)
        check_size("bits", bits)
        between("temperature", temperature, 0, math.inf)
        self.bits = bits
        self.temperature = temperature
        self._build_learned_by_output(2 * bits, device, dtype)
        self.index_shape = (bits,)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return (2,) * self.bits

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        return Assignment((self._differences(rows, step) > 0).long(), rows, step)

    def _embed(self, indices: Tensor) -> Tensor:
        off, on = self._pairs()
        return off.sum(0) + indices.to(self.dtype) @ (on - off)

    def _seen(self, assignment: Assignment) -> list[Seen]:
        """The vector that each bit of each row has chosen."""
        first = torch.arange(0, 2 * self.bits, 2, dtype=torch.int64, device=assignment.indices.device)
        picked = (assignment.indices + first).flatten()
        step = assignment.step.component(0, self.bits)
        return [Seen(self.codebook, None, picked, step.valid, step.repeats)]

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        off, on = self._pairs()
        soft = (self._differences(rows, step) / self.temperature).sigmoid()
        return q + (soft - soft.detach()) @ (on - off).detach()

    def from_bits(self, bits: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The vectors of bits (..., bits) of any dtype, features on axis `dim`: `decode`, for 0 and 1 however kept.

        Raises:
            CodewordError: values other than 0 and 1 (-1 where masked), or another number of bits.
        """
        whole = bits.to(torch.int64)
        if not torch.compiler.is_compiling() and bool((whole != bits).any()):
            raise CodewordError.of("bits that are 0 or 1", "fractions", "round probabilities to bits first")
        return self.decode(whole, dtype)

    def _check_indices(self, indices: Tensor) -> None:
        check_digits(indices, self.bits)

    def usage(self) -> Usage:
        """The use of the two values of each bit: fields of shape (bits,)."""
        return usage_of_counts(self.codebook.usage_count.view(self.bits, 2))

    def _pairs(self) -> tuple[Tensor, Tensor]:
        """The vectors (bits, D) of bits that are 0, and of bits that are 1."""
        off, on = self.codebook.codes.view(self.bits, 2, self.features).unbind(1)
        return off, on

    def _differences(self, rows: Tensor, step: Step) -> Tensor:
        """Of the products with both vectors of each bit, (N, bits); in training with noise."""
        off, on = self._pairs()
        differences = rows @ on.T - rows @ off.T
        return differences + self._noise(step) if step.training else differences

    def _noise(self, step: Step) -> Tensor:
        """Logistic: the difference of two Gumbel variables."""
        return step.key.uniform_at(Purpose.GUMBEL, step.valid.positions(), self.bits).logit()
