"""The original's module of this name. The experimental classes can be imported only from here."""

from codeword.compat.quantizer_pytorch.experimental import MQ1d, QBit1d
from codeword.compat.quantizer_pytorch.layers import BVQ, ResidualVQ
from codeword.compat.quantizer_pytorch.sequences import (
    Quantizer1d,
    QuantizerBlock1d,
    QuantizerChannelwise1d,
)

__all__ = [
    "BVQ",
    "MQ1d",
    "QBit1d",
    "Quantizer1d",
    "QuantizerBlock1d",
    "QuantizerChannelwise1d",
    "ResidualVQ",
]
