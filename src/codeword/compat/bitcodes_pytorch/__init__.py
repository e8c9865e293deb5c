"""bitcodes-pytorch by codeword, under its names; see docs/moving."""

from codeword.compat.bitcodes_pytorch.bitcodes import Bitcodes
from codeword.compat.bitcodes_pytorch.utils import to_binary, to_bits, to_decimal

__all__ = ["Bitcodes", "to_binary", "to_bits", "to_decimal"]
