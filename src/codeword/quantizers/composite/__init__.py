"""Quantizers made of quantizers."""

from codeword.quantizers.composite.additive import Additive
from codeword.quantizers.composite.base import Composite
from codeword.quantizers.composite.grouped import Grouped
from codeword.quantizers.composite.multiscale import Multiscale
from codeword.quantizers.composite.overlapped import Overlapped
from codeword.quantizers.composite.qinco import QINCo
from codeword.quantizers.composite.residual import Residual
from codeword.quantizers.composite.residual_fsq import ResidualFSQ
from codeword.quantizers.composite.residual_lfq import ResidualLFQ

__all__ = [
    "Additive",
    "Composite",
    "Grouped",
    "Multiscale",
    "Overlapped",
    "QINCo",
    "Residual",
    "ResidualFSQ",
    "ResidualLFQ",
]
