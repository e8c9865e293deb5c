"""quantizer-pytorch on codeword: its classes, arguments, results and state dictionaries.

What is different from the original, and what to write instead without this facade: `docs/moving/quantizer_pytorch.md`.
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
