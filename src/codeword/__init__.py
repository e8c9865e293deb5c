"""codeword: vector quantization for PyTorch.

The parts of a quantizer are in a module for each axis: `codeword.inits`, `codeword.estimators` and so on. Those of
every day are here too.
"""

from codeword import (
    bounds,
    convolutions,
    estimators,
    fitting,
    functional,
    inits,
    metrics,
    models,
    penalties,
    quantizers,
    revivals,
    transforms,
    updates,
)
from codeword.checkpoints import from_pretrained, save_pretrained
from codeword.errors import CodewordError, CodewordWarning
from codeword.estimators import Rotation, StraightThrough
from codeword.fitting import fit
from codeword.inits import KMeans
from codeword.metrics import Cosine
from codeword.models import accumulate, disabled, find_quantizers, freeze, parameter_groups, warm_up
from codeword.penalties import Commitment
from codeword.quantizers import (
    BSQ,
    FSQ,
    LFQ,
    Binarize,
    Grouped,
    Multiscale,
    Quantized,
    Quantizer,
    RandomProjection,
    Residual,
    ResidualFSQ,
    VectorQuantizer,
    from_spec,
    methods,
)
from codeword.updates import EMA, Frozen, Gradient
from codeword.version import __version__

__all__ = [
    "BSQ",
    "EMA",
    "FSQ",
    "LFQ",
    "Binarize",
    "CodewordError",
    "CodewordWarning",
    "Commitment",
    "Cosine",
    "Frozen",
    "Gradient",
    "Grouped",
    "KMeans",
    "Multiscale",
    "Quantized",
    "Quantizer",
    "RandomProjection",
    "Residual",
    "ResidualFSQ",
    "Rotation",
    "StraightThrough",
    "VectorQuantizer",
    "__version__",
    "accumulate",
    "bounds",
    "convolutions",
    "disabled",
    "estimators",
    "find_quantizers",
    "fit",
    "fitting",
    "freeze",
    "from_pretrained",
    "from_spec",
    "functional",
    "inits",
    "methods",
    "metrics",
    "models",
    "parameter_groups",
    "penalties",
    "quantizers",
    "revivals",
    "save_pretrained",
    "transforms",
    "updates",
    "warm_up",
]
