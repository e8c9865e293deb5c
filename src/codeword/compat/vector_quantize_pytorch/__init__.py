"""vector-quantize-pytorch on codeword: its layers and modules under their names; see docs/moving."""

from codeword.compat.vector_quantize_pytorch.binary_mapper import BinaryMapper
from codeword.compat.vector_quantize_pytorch.evo_lookup_free_quantization import EvoLFQ
from codeword.compat.vector_quantize_pytorch.finite_scalar_perturbation import FSP
from codeword.compat.vector_quantize_pytorch.finite_scalar_quantization import FSQ
from codeword.compat.vector_quantize_pytorch.hierarchical_vq import HierarchicalVQ
from codeword.compat.vector_quantize_pytorch.latent_quantization import LatentQuantize
from codeword.compat.vector_quantize_pytorch.lookup_free_quantization import LFQ
from codeword.compat.vector_quantize_pytorch.random_projection_quantizer import RandomProjectionQuantizer
from codeword.compat.vector_quantize_pytorch.residual_fsq import GroupedResidualFSQ, ResidualFSQ
from codeword.compat.vector_quantize_pytorch.residual_lfq import GroupedResidualLFQ, ResidualLFQ
from codeword.compat.vector_quantize_pytorch.residual_sim_vq import ResidualSimVQ
from codeword.compat.vector_quantize_pytorch.residual_vq import GroupedResidualVQ, ResidualVQ
from codeword.compat.vector_quantize_pytorch.sim_vq import SimVQ
from codeword.compat.vector_quantize_pytorch.utils import Sequential
from codeword.compat.vector_quantize_pytorch.vector_quantize_pytorch import VectorQuantize

__all__ = [
    "FSP",
    "FSQ",
    "LFQ",
    "BinaryMapper",
    "EvoLFQ",
    "GroupedResidualFSQ",
    "GroupedResidualLFQ",
    "GroupedResidualVQ",
    "HierarchicalVQ",
    "LatentQuantize",
    "RandomProjectionQuantizer",
    "ResidualFSQ",
    "ResidualLFQ",
    "ResidualSimVQ",
    "ResidualVQ",
    "Sequential",
    "SimVQ",
    "VectorQuantize",
]
