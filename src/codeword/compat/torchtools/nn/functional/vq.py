"""The functions behind the layers, at their later place."""

from codeword.compat.torchtools.functional.vq import binarize, vector_quantize

__all__ = ["binarize", "vector_quantize"]
