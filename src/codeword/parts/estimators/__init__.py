"""How gradients pass the lookup."""

from codeword.parts.estimators.directional import Directional
from codeword.parts.estimators.relaxed import Gumbel, ReinMax
from codeword.parts.estimators.rotation import Rotation
from codeword.parts.estimators.sampled import Sampled
from codeword.parts.estimators.straight_through import StraightThrough

__all__ = ["Directional", "Gumbel", "ReinMax", "Rotation", "Sampled", "StraightThrough"]
