"""Quantizers without a codebook: codes are computed from indices."""

from codeword.quantizers.implicit.base import Implicit
from codeword.quantizers.implicit.binary import Binarize
from codeword.quantizers.implicit.binary_mapper import BinaryMapper
from codeword.quantizers.implicit.bit_layers import BitLayers
from codeword.quantizers.implicit.bitcodes import Bitcodes
from codeword.quantizers.implicit.leech import SphericalLeech
from codeword.quantizers.implicit.lookup_free import BSQ, LFQ
from codeword.quantizers.implicit.scalar import FSQ

__all__ = [
    "BSQ",
    "FSQ",
    "LFQ",
    "Binarize",
    "BinaryMapper",
    "BitLayers",
    "Bitcodes",
    "Implicit",
    "SphericalLeech",
]
