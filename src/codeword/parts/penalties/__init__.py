"""What is added to the loss."""

from codeword.parts.penalties.alpha import GrowingAlpha, LargeAlpha, UnitAlpha
from codeword.parts.penalties.codebook import CodebookLoss
from codeword.parts.penalties.commitment import Commitment
from codeword.parts.penalties.entropy import Diversity, Entropy
from codeword.parts.penalties.norm_cap import NormCap
from codeword.parts.penalties.orthogonality import Orthogonality
from codeword.parts.penalties.wasserstein import Wasserstein

__all__ = [
    "CodebookLoss",
    "Commitment",
    "Diversity",
    "Entropy",
    "GrowingAlpha",
    "LargeAlpha",
    "NormCap",
    "Orthogonality",
    "UnitAlpha",
    "Wasserstein",
]
