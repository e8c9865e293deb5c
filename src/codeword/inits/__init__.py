"""Where the first codes come from."""

from codeword.inits.kmeans import KMeans
from codeword.inits.random import Normal, Uniform
from codeword.inits.sample import Sample

__all__ = ["KMeans", "Normal", "Sample", "Uniform"]
