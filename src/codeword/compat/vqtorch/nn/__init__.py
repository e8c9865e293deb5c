"""The layers of vqtorch's published code."""

from codeword.compat.vqtorch.nn import utils
from codeword.compat.vqtorch.nn.affine import AffineTransform
from codeword.compat.vqtorch.nn.gvq import GroupVectorQuant
from codeword.compat.vqtorch.nn.pool import MaxVecPool2d, SoftMaxVecPool2d
from codeword.compat.vqtorch.nn.rvq import ResidualVectorQuant
from codeword.compat.vqtorch.nn.vq import VectorQuant

__all__ = [
    "AffineTransform",
    "GroupVectorQuant",
    "MaxVecPool2d",
    "ResidualVectorQuant",
    "SoftMaxVecPool2d",
    "VectorQuant",
    "utils",
]
