"""quantizer-pytorch on codeword: its classes, arguments, results and state dictionaries.

`docs/moving/quantizer_pytorch.md` lists the differences from the original, and the calls of codeword that replace it.
"""

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
