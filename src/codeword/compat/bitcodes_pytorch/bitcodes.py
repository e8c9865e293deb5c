"""`Bitcodes`."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.checkpoints.importers.bitcodes_pytorch import BitcodesPyTorch
from codeword.checkpoints.importers.table import KeyTable
from codeword.compat.hard import HardInEval
from codeword.compat.state import Facade
from codeword.quantizers import Bitcodes as Native
from codeword.quantizers.assignment import Assignment, Step

__all__ = ["Bitcodes"]


class Bitcodes(Facade):
    """Each bit has two learned vectors and selects the one with the larger product with x; the output is their sum.

    In training a hard Gumbel-softmax draws the selection with torch's own generator.

    Args:
        features: of a vector.
        num_bits: for each vector.
        temperature: of the softmax, above 0; may be set later.
        straight_through: whether x gets the gradient of the softmax, without noise, in eval too.
        noiseless_bits: whether training returns the bits without noise, instead of those of the output.

    Returns (forward):
        y like x, and its bits (..., num_bits), int64.

    Examples:
        >>> bitcodes = Bitcodes(features=8, num_bits=4, temperature=10).eval()
        >>> y, bits = bitcodes(torch.randn(1, 6, 8))
        >>> y.shape, bits.shape, bool((bitcodes.from_bits(bits) == y).all())
        (torch.Size([1, 6, 8]), torch.Size([1, 6, 4]), True)
    """

    def __init__(
        self,
        features: int,
        num_bits: int,
        temperature: float,
        *,
        straight_through: bool = False,
        noiseless_bits: bool = False,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(
            devices=[]
        ):  # so that the next module draws the same numbers as with the original
            self.quantizer = _DrawnByTorch(features, num_bits, temperature=temperature)
        self.quantizer.relaxes_in_eval = straight_through
        self.quantizer.codebook.init_from_(torch.randn_like(self.codebook))
        self.features = features
        self.num_bits = num_bits
        self.noiseless_bits = noiseless_bits

    @property
    def codebook(self) -> Tensor:
        """The parameter (2 num_bits, features), live: rows 2b and 2b + 1 are of bit b."""
        return self.quantizer.codebook.codes

    @property
    def temperature(self) -> float:
        return self.quantizer.temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self.quantizer.temperature = temperature

    def key_table(self) -> KeyTable:
        return BitcodesPyTorch().table(self.quantizer).under("", "quantizer.")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class; x is (..., features)."""
        out = self.quantizer(x)
        bits = self.quantizer.encode(x) if self.training and self.noiseless_bits else out.indices
        return out.quantized, bits

    def from_bits(self, bits: Tensor) -> Tensor:
        """The vectors (..., features) of bits (..., num_bits) of any dtype."""
        return self.quantizer.from_bits(bits)


class _DrawnByTorch(HardInEval, Native):
    """codeword's, with noise from torch's generator, so that a seed gives what it gave there."""

    noise: Tensor | None = None  # of the last training forward

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        if step.training:
            gumbels = -rows.new_empty(len(rows), self.bits, 2).exponential_().log()
            self.noise = gumbels[..., 1] - gumbels[..., 0]
        return super()._assign(rows, step)

    def _noise(self, step: Step) -> Tensor:
        assert self.noise is not None
        return self.noise
