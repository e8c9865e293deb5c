"""vqtorch on codeword: the layer of its document, and those of its published code.

What is different from the original, and what to write instead without this facade: `docs/moving/vqtorch.md`.
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

# No modules: `import *` would put this nn in the place of torch's.
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
