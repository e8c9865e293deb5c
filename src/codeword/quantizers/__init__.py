"""Quantizers: classes over one common base, and their spec strings."""

from codeword.quantizers.base import Quantizer
from codeword.quantizers.catalogue import from_spec
from codeword.quantizers.composite import (
    Additive,
    Grouped,
    Multiscale,
    Overlapped,
    QINCo,
    Residual,
    ResidualFSQ,
    ResidualLFQ,
)
from codeword.quantizers.implicit import (
    BSQ,
    FSQ,
    LFQ,
    Binarize,
    BinaryMapper,
    Bitcodes,
    BitLayers,
    SphericalLeech,
)
from codeword.quantizers.index_loss import index_loss
from codeword.quantizers.layouts import Blockwise, Channelwise, Patches
from codeword.quantizers.memory import MemoryCodes
from codeword.quantizers.nearest_codes import NearestCodes, nearest_codes
from codeword.quantizers.output import Quantized
from codeword.quantizers.random_projection import RandomProjection
from codeword.quantizers.vector import VectorQuantizer

__all__ = [
    "BSQ",
    "FSQ",
    "LFQ",
    "Additive",
    "Binarize",
    "BinaryMapper",
    "BitLayers",
    "Bitcodes",
    "Blockwise",
    "Channelwise",
    "Grouped",
    "MemoryCodes",
    "Multiscale",
    "NearestCodes",
    "Overlapped",
    "Patches",
    "QINCo",
    "Quantized",
    "Quantizer",
    "RandomProjection",
    "Residual",
    "ResidualFSQ",
    "ResidualLFQ",
    "SphericalLeech",
    "VectorQuantizer",
    "from_spec",
    "index_loss",
    "nearest_codes",
]
