"""Penalties: terms of the loss."""

from codeword.penalties.alpha import GrowingAlpha, LargeAlpha, UnitAlpha
from codeword.penalties.codebook import CodebookLoss
from codeword.penalties.commitment import Commitment
from codeword.penalties.cross_entropy import CrossEntropy
from codeword.penalties.entropy import Diversity, Entropy
from codeword.penalties.moments import Moments
from codeword.penalties.norm_cap import NormCap
from codeword.penalties.orthogonality import Orthogonality
from codeword.penalties.wasserstein import Wasserstein

__all__ = [
    "CodebookLoss",
    "Commitment",
    "CrossEntropy",
    "Diversity",
    "Entropy",
    "GrowingAlpha",
    "LargeAlpha",
    "Moments",
    "NormCap",
    "Orthogonality",
    "UnitAlpha",
    "Wasserstein",
]
