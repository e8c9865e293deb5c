"""What near means."""

from codeword.metrics.cosine import Cosine
from codeword.metrics.dot import Dot
from codeword.metrics.euclidean import Euclidean

__all__ = ["Cosine", "Dot", "Euclidean"]
