"""How the codes learn."""

from codeword.updates.ema import EMA
from codeword.updates.frozen import Frozen
from codeword.updates.gradient import Gradient
from codeword.updates.in_place import InPlaceAdam, InPlaceSGD
from codeword.updates.mean_ema import MeanEMA
from codeword.updates.smoothed_ema import SmoothedEMA

__all__ = ["EMA", "Frozen", "Gradient", "InPlaceAdam", "InPlaceSGD", "MeanEMA", "SmoothedEMA"]
