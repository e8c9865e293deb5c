"""Transforms: maps of the codes before the search."""

from codeword.transforms.affine import Affine, RunningAffine
from codeword.transforms.bridge import Bridge
from codeword.transforms.gamma import CodeGamma, Gamma
from codeword.transforms.learned_spread import LearnedSpread
from codeword.transforms.linear import Linear
from codeword.transforms.norms import MaxNorm, UnitNorm
from codeword.transforms.space_filling import SpaceFilling

__all__ = [
    "Affine",
    "Bridge",
    "CodeGamma",
    "Gamma",
    "LearnedSpread",
    "Linear",
    "MaxNorm",
    "RunningAffine",
    "SpaceFilling",
    "UnitNorm",
]
