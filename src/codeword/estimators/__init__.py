"""The gradient of the lookup: estimators."""

from codeword.estimators.directional import Directional
from codeword.estimators.relaxed import Gumbel, ReinMax
from codeword.estimators.rotation import Rotation
from codeword.estimators.sampled import Sampled
from codeword.estimators.straight_through import StraightThrough

__all__ = ["Directional", "Gumbel", "ReinMax", "Rotation", "Sampled", "StraightThrough"]
