"""What is done to the codes before they are searched."""

from codeword.parts.transforms.affine import Affine, RunningAffine
from codeword.parts.transforms.gamma import CodeGamma, Gamma
from codeword.parts.transforms.learned_spread import LearnedSpread
from codeword.parts.transforms.linear import Linear
from codeword.parts.transforms.norms import MaxNorm, UnitNorm
from codeword.parts.transforms.space_filling import SpaceFilling

__all__ = [
    "Affine",
    "CodeGamma",
    "Gamma",
    "LearnedSpread",
    "Linear",
    "MaxNorm",
    "RunningAffine",
    "SpaceFilling",
    "UnitNorm",
]
