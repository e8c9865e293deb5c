"""vqtorch on codeword: the layer of its document, and those of its published code.

What is different from the original, and what to write instead without this facade: `docs/moving/vqtorch.md`.
"""

from codeword.compat.vqtorch import dists, inits, math_fns, nn, norms, utils
from codeword.compat.vqtorch.early import VectorQuantize
from codeword.compat.vqtorch.math_fns import entropy
from codeword.compat.vqtorch.nn import (
    AffineTransform,
    GroupVectorQuant,
    ResidualVectorQuant,
    VectorQuant,
)
from codeword.compat.vqtorch.utils import get_vq_layers, is_vq, is_vqn, no_vq

__all__ = [
    "AffineTransform",
    "GroupVectorQuant",
    "ResidualVectorQuant",
    "VectorQuant",
    "VectorQuantize",
    "dists",
    "entropy",
    "get_vq_layers",
    "inits",
    "is_vq",
    "is_vqn",
    "math_fns",
    "nn",
    "no_vq",
    "norms",
    "utils",
]
