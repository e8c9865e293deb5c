"""Where the first codes come from."""

from codeword.parts.inits.kmeans import KMeans
from codeword.parts.inits.random import Normal, Uniform
from codeword.parts.inits.sample import Sample

__all__ = ["KMeans", "Normal", "Sample", "Uniform"]
