"""Quantizers: final classes over one base, and their spec strings."""

from codeword.quantizers.base import Quantizer
from codeword.quantizers.binary import Binarize
from codeword.quantizers.bit_layers import BitLayers
from codeword.quantizers.bitcodes import Bitcodes
from codeword.quantizers.catalogue import QUANTIZERS, from_spec
from codeword.quantizers.grouped import Grouped
from codeword.quantizers.layouts import Blockwise, Channelwise, Patches
from codeword.quantizers.lookup_free import BSQ, LFQ
from codeword.quantizers.memory import MemoryCodes
from codeword.quantizers.multiscale import Multiscale
from codeword.quantizers.output import Quantized
from codeword.quantizers.overlapped import Overlapped
from codeword.quantizers.random_projection import RandomProjection
from codeword.quantizers.residual import Residual
from codeword.quantizers.residual_fsq import ResidualFSQ
from codeword.quantizers.scalar import FSQ
from codeword.quantizers.vector import VectorQuantizer

__all__ = [
    "BSQ",
    "FSQ",
    "LFQ",
    "QUANTIZERS",
    "Binarize",
    "BitLayers",
    "Bitcodes",
    "Blockwise",
    "Channelwise",
    "Grouped",
    "MemoryCodes",
    "Multiscale",
    "Overlapped",
    "Patches",
    "Quantized",
    "Quantizer",
    "RandomProjection",
    "Residual",
    "ResidualFSQ",
    "VectorQuantizer",
    "from_spec",
]
