"""vqtorch on codeword: the layer of its document, and those of its published code.

`docs/moving/vqtorch.md` lists the differences from the original, and the calls of codeword that replace it.
"""

from codeword.compat.vqtorch import dists as dists
from codeword.compat.vqtorch import inits as inits
from codeword.compat.vqtorch import math_fns as math_fns
from codeword.compat.vqtorch import nn as nn
from codeword.compat.vqtorch import norms as norms
from codeword.compat.vqtorch import utils as utils
from codeword.compat.vqtorch.early import VectorQuantize
from codeword.compat.vqtorch.math_fns import entropy
from codeword.compat.vqtorch.nn import (
    AffineTransform,
    GroupVectorQuant,
    ResidualVectorQuant,
    VectorQuant,
)
from codeword.compat.vqtorch.utils import get_vq_layers, is_vq, is_vqn, no_vq

# No modules: `import *` would replace torch's nn by this one.
__all__ = [
    "AffineTransform",
    "GroupVectorQuant",
    "ResidualVectorQuant",
    "VectorQuant",
    "VectorQuantize",
    "entropy",
    "get_vq_layers",
    "is_vq",
    "is_vqn",
    "no_vq",
]
