"""The later `torchtools.nn`: what it has for quantization."""

from codeword.compat.torchtools.nn.vq import FSQ, Binarize, VectorQuantize

__all__ = ["FSQ", "Binarize", "VectorQuantize"]
