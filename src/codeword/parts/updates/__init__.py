"""How the codes learn."""

from codeword.parts.updates.ema import EMA
from codeword.parts.updates.frozen import Frozen
from codeword.parts.updates.gradient import Gradient
from codeword.parts.updates.in_place import InPlaceAdam, InPlaceSGD
from codeword.parts.updates.mean_ema import MeanEMA
from codeword.parts.updates.smoothed_ema import SmoothedEMA

__all__ = ["EMA", "Frozen", "Gradient", "InPlaceAdam", "InPlaceSGD", "MeanEMA", "SmoothedEMA"]
