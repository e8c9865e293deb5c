"""Metrics: which code is the nearest."""

from codeword.metrics.cosine import Cosine
from codeword.metrics.dot import Dot
from codeword.metrics.entropy_constrained import EntropyConstrained
from codeword.metrics.euclidean import Euclidean

__all__ = ["Cosine", "Dot", "EntropyConstrained", "Euclidean"]
