"""vector-quantize-pytorch by codeword: the layers of its README under their names; see docs/moving."""

from codeword.compat.vector_quantize_pytorch.random_projection import RandomProjectionQuantizer
from codeword.compat.vector_quantize_pytorch.residual import GroupedResidualVQ, ResidualVQ
from codeword.compat.vector_quantize_pytorch.scalar import FSQ, LFQ, ResidualFSQ
from codeword.compat.vector_quantize_pytorch.sim import ResidualSimVQ, SimVQ
from codeword.compat.vector_quantize_pytorch.vector import VectorQuantize

__all__ = [
    "FSQ",
    "LFQ",
    "GroupedResidualVQ",
    "RandomProjectionQuantizer",
    "ResidualFSQ",
    "ResidualSimVQ",
    "ResidualVQ",
    "SimVQ",
    "VectorQuantize",
]
