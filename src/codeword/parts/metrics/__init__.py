"""What near means."""

from codeword.parts.metrics.cosine import Cosine
from codeword.parts.metrics.dot import Dot
from codeword.parts.metrics.euclidean import Euclidean

__all__ = ["Cosine", "Dot", "Euclidean"]
