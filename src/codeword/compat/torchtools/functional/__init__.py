"""The functions behind the layers."""

from codeword.compat.torchtools.functional.vq import binarize, vector_quantize

__all__ = ["binarize", "vector_quantize"]
